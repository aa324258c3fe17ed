"""Diagrams of chapters 6 and 7: word pairs, self-attention, the transformer block, CLIP."""

from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.figure import Figure

from stablediff_edu.errors import UserError
from stablediff_edu.layers.attention import Attention
from stablediff_edu.layers.transformer import BasicTransformerBlock, CLIPAttention, CLIPEncoderLayer
from stablediff_edu.models.clip import CLIP
from stablediff_edu.models.word2vec import Word2Vec
from stablediff_edu.plotting.core import MAGNITUDE_MAP
from stablediff_edu.plotting.diagram_canvas import (
    INK,
    WIDTH,
    Canvas,
    Highlight,
    count_text,
    run_shapes,
    shape_text,
    text_width,
)


def diagram_skip_gram(
    model: Word2Vec,
    sentence: Sequence[str],
    center: int,
    negatives: Sequence[str],
    window: int = 2,
    highlight: Highlight = None,
) -> Figure:
    """Plot the sliding window of skip-gram with negative sampling: a center word, its positive and negative pairs.

    Args:
        model: for the sizes of its two embedding matrices.
        sentence: words.
        center: the position of the center word, from 0.
        negatives: words that are sampled at random.
        window: how many words on either side are the context.
        highlight: "center word", "window", "positive pairs", "negative pairs", "input embedding", "loss" or
            "output embedding".
    """
    canvas, top, low, high = Canvas(356, highlight), 84, 184, 36
    context = [place for place in range(center - window, center + window + 1) if 0 <= place < len(sentence)]
    kinds = {place: ("text", "window") for place in context} | {center: ("network", "center word")}
    words = [(*kinds.get(place, ("operation", "")), word) for place, word in enumerate(sentence)]
    boxes = canvas.row(top, high, *words, arrows=False, centered=True)
    start, end = boxes[context[0]], boxes[context[-1]]
    canvas.mark(start.x - 7, top - 8, end.right[0] - start.x + 14, high + 16)
    for place in context:
        if place != center:
            x = boxes[center].top[0] + 8 * ((place > center) - 0.5)
            path = (x, top), (x, 50), (boxes[place].top[0], 50), boxes[place].top
            canvas.arrow(*path, part="positive pairs", above=True)
    positions = f"{window} position{'s' * (window > 1)}"
    about = f"{len(context) - 1} positive pairs: center word and a word within {positions} (the window)"
    canvas.tag(WIDTH / 2, 22, about, part="positive pairs")
    sampled = [("noise", "negative pairs", word) for word in negatives]
    others = canvas.row(low, high, *sampled, arrows=False, centered=True)
    x, y = boxes[center].bottom
    for box in others:
        canvas.arrow((x, y), (x, low - 22), (box.top[0], low - 22), box.top, part="negative pairs", above=True)
    about = f"for each positive pair K = {len(negatives)} negative pairs: center word and a word sampled at random"
    canvas.tag(WIDTH / 2, low + high + 20, about, part="negative pairs")
    shapes = shape_text(model.words.shape), shape_text(model.contexts.shape)
    first, product, second = canvas.row(
        low + 84, 66,
        ("network", "input embedding", "input embedding matrix", shapes[0], "the center word's row"),
        ("operation", "loss", "dot product → sigmoid → loss", "target 1: positive pairs", "target 0: negative pairs"),
        ("network", "output embedding", "output embedding matrix", shapes[1], "the other word's row"),
        arrows=False,
    )  # fmt: skip
    canvas.chain(first, product)
    canvas.arrow(second.left, product.right)
    size, dimension = model.words.shape
    return canvas.finish(
        f"""Skip-gram with negative sampling. The window slides over the text; here the center word is
        “{sentence[center]}”. Its vector in the input embedding matrix ({size:,} words, {dimension} values each) should
        have a large dot product with the output vectors of the words in the window, and a small one with those of
        random words."""
    )


def diagram_attention(layer: Attention, x: torch.Tensor, words: Sequence[str], highlight: Highlight = None) -> Figure:
    """Plot how self-attention computes: query, key and value of every word, and the first head's attention weights.

    Args:
        layer: whose matrices are used.
        x: (N, features), a vector for each word.
        words: N words, 8 at most.
        highlight: "embeddings", "query", "key", "value", "attention weights" or "output".
    """
    count, features = x.shape
    if count != len(words) or count > 8:
        raise UserError(f"{count} vectors and {len(words)} words do not fit; give a vector a word, 8 at most.")
    with torch.no_grad():
        weights = layer.weights(x[None])[0, 0].cpu()
    each, cell, left, top = features // layer.heads, 36, 462, 134
    bottom = top + cell * count
    canvas, middle, high = Canvas(bottom + 124, highlight), (top + bottom) / 2, 62
    source = canvas.box("text", 10, middle - 31, 112, high, "embeddings", f"{count}×{features}", part="embeddings")
    several = (f"{layer.heads} heads",) if layer.heads > 1 else ()
    found = {}
    for name, y in {"key": 18, "query": middle - 31, "value": bottom + 50}.items():
        symbol = f"{name[0].upper()}"
        matrix = canvas.box("network", 150, y, 76, high, f"$W_{symbol}$", f"{features}×{features}", part=name)
        size = f"{count}×{each}"
        found[name] = canvas.box("latent", 254, y, 86, high, f"{name} {symbol}", size, *several, part=name)
        canvas.arrow(source.right, (132, source.right[1]), (132, y + 31), matrix.left)
        canvas.chain(matrix, found[name])
    grid = canvas.grid(weights, left, top, cell, colors=MAGNITUDE_MAP, form="{:.2f}", part="attention weights")
    for place, word in enumerate(words):
        canvas.tag(left - 10, top + cell * (place + 0.5), word, "right")
        canvas.tag(left + cell * (place + 0.5), top - 10, word, turned=True)
    widest = max(map(text_width, words))
    key, query, value = found.values()
    canvas.arrow(query.right, (left - 24 - widest, middle))
    canvas.arrow(key.right, (grid.top[0], key.right[1]), (grid.top[0], top - 24 - widest))
    which = f", head 1 of {layer.heads}" if layer.heads > 1 else ""
    formula = rf"attention weights = softmax($QK^T/\sqrt{{d}}$), d = {each}{which}"
    canvas.tag(grid.top[0], bottom + 18, formula, part="attention weights")
    title = "output", "weights × V,", r"then $W_O$", f"{count}×{features}"
    output = canvas.box("latent", WIDTH - 110, middle - 38, 100, 76, *title, part="output")
    canvas.chain(grid, output)
    canvas.arrow(value.right, (output.bottom[0], value.right[1]), output.bottom)
    row = int(weights.fill_diagonal_(0).max(dim=1).values.argmax())
    return canvas.finish(
        f"""Self-attention over {count} words. Three matrices turn the embedding of each word into a query, a
        key and a value. Row i of the map holds the attention weights of word i, softmax of its query times all keys;
        its output is the weighted mean of the values. Here “{words[row]}” attends to
        “{words[int(weights[row].argmax())]}” ({float(weights[row].max()):.0%})."""
    )


def diagram_transformer_block(block: BasicTransformerBlock | CLIPEncoderLayer, highlight: Highlight = None) -> Figure:
    """Plot a transformer block: attention and an MLP, each after a normalization and added to what came in.

    `highlight`: "norm", "self-attention", "cross-attention", "MLP", "residual connections" or "text embeddings".
    """
    attention: Attention | CLIPAttention
    if isinstance(block, CLIPEncoderLayer):
        attention, cross, mlp = block.self_attn, None, count_text(block.mlp)
    else:
        attention, cross, mlp = block.attn1, block.attn2, count_text(block.ff)
    features, heads = attention.projections()[0].in_features, attention.heads
    norm, plus = ["operation", "norm", "norm"], ["operation", "residual connections", "+"]
    several = f"{heads} heads" if heads > 1 else "1 head"
    parts = [["network", "self-attention", "self-attention", count_text(attention), several]]
    if cross:
        parts += [["network", "cross-attention", "cross-attention", count_text(cross), several]]
    parts += [["network", "MLP", "MLP", mlp]]
    x = ["latent", "", "$x$", f"N×{features}"]
    canvas = Canvas(220 if cross else 146, highlight)
    boxes = canvas.row(60, 62, x, *(box for part in parts for box in (norm, part, plus)), x)
    for number in range(1, len(boxes) - 1, 3):
        before, first, plus_box = boxes[number - 1], boxes[number], boxes[number + 2]
        start, y = (before.right[0] + first.x) / 2 - 3, before.right[1]
        path = (start, y), (start, 36), (plus_box.top[0], 36), plus_box.top
        canvas.arrow(*path, part="residual connections")
    canvas.tag((boxes[1].x + boxes[2].right[0]) / 2, 36, "residual connection", part="residual connections")
    if cross:
        cross_box, width = boxes[5], cross.to_k.in_features
        title = "text embeddings", f"M×{width}"
        text = canvas.box("text", cross_box.top[0] - 75, 154, 150, 46, *title, part="text embeddings")
        canvas.arrow(text.top, cross_box.bottom)
    text_input = " Cross-attention takes its keys and values from the text embeddings." if cross else ""
    return canvas.finish(
        f"""A transformer block with {count_text(block)} parameters. Each part reads the normalized vectors, and its
        output is added to the vectors from before the normalization (residual connection).{text_input} The numbers in
        the boxes are parameters."""
    )


@torch.no_grad()
def diagram_clip(clip: CLIP, similarities: torch.Tensor, highlight: Highlight = None) -> Figure:
    """Plot CLIP's two towers, and the matrix in which every image is compared with every caption.

    Args:
        clip: the two encoders.
        similarities: (N, N), cosine similarities of N images (rows) with their captions (columns), N up to 5.
        highlight: "captions", "text encoder", "token embeddings", "text embedding", "images", "image encoder",
            "image embedding" or "similarities".
    """
    config: dict[str, Any] = clip.config
    count, text, image = len(similarities), config["text"], config["image"]
    if count > 5:
        raise UserError(f"{count} images do not fit into the diagram; give 5 at most.")
    cell, left, top, high = 44, 640, 132, 62
    middle, length = top + cell * count / 2, text.max_position_embeddings
    canvas = Canvas(max(middle + 80, top + cell * count + 50), highlight)
    shapes = run_shapes(
        clip, (1, 3, image.size, image.size), torch.zeros(1, length, dtype=torch.long, device="meta"),
        watch=[clip.text_model, clip.image_model, clip.text_projection, clip.image_projection],
    )  # fmt: skip
    token_embeddings, image_vector, *embeddings = map(shape_text, shapes)
    _, _, tokens, caption = canvas.row(
        16, high,
        ("text", "captions", "captions", f"{length} tokens"),
        ("network", "text encoder", "text encoder", count_text(clip.text_model), f"{text.num_hidden_layers} blocks"),
        ("text", "token embeddings", "token embeddings", token_embeddings),
        ("text", "text embedding", "text embedding $T$", f"{embeddings[0]} values", "of the end token"),
        right=left - 20,
    )  # fmt: skip
    *_, image_embedding = canvas.row(
        middle - high / 2, high,
        ("image", "images", "images", shape_text((3, image.size, image.size))),
        ("network", "image encoder", "image encoder", count_text(clip.image_model)),
        ("latent", "image embedding", "image vector", f"{image_vector} values"),
        ("image", "image embedding", "image embedding $I$", f"{embeddings[1]} values"),
        right=left - 60,
    )  # fmt: skip
    grid = canvas.grid(similarities, left, top, cell, limit=1, form="{:.2f}", part="similarities")
    canvas.arrow(caption.right, (grid.top[0], caption.right[1]), (grid.top[0], top - 24))
    canvas.arrow(image_embedding.right, (left - 28, image_embedding.right[1]))
    for number in range(count):
        canvas.mark(left + cell * number + 2, top + cell * number + 2, cell - 4, cell - 4, INK)
        canvas.tag(left + cell * (number + 0.5), top - 12, f"$T_{number + 1}$")
        canvas.tag(left - 14, top + cell * (number + 0.5), f"$I_{number + 1}$")
    canvas.tag(grid.top[0], top + cell * count + 20, "cosine similarities; marked: pairs", part="similarities")
    canvas.tag(tokens.top[0], 94, "all of them enter the U-Net of chapter 8")
    return canvas.finish(
        f"""CLIP. A text encoder and an image encoder turn captions and images into vectors of {embeddings[0]} values;
        their cosine similarity is computed for all pairs. Training raises it for matching pairs (marked) and lowers it
        for all others, the negatives. Chapter 8 uses the {length} token embeddings, from before the projection. The
        numbers in the boxes of the encoders are parameters."""
    )
