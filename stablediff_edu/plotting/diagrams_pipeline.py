"""Diagrams of chapter 8: where text enters the U-Net, and the pipeline of Stable Diffusion."""

from itertools import count
from typing import Any

from matplotlib.figure import Figure

from stablediff_edu.models.unet_2d_condition import UNet2DConditionModel
from stablediff_edu.pipelines.stable_diffusion import StableDiffusion
from stablediff_edu.plotting.diagram_canvas import (
    KINDS,
    WIDTH,
    Box,
    Canvas,
    Highlight,
    count_text,
    run_shapes,
    shape_text,
)
from stablediff_edu.plotting.diagrams import TARGETS

WIDE, HIGH, SPACE = 346, 90, 8  # a level, and what is left between its small boxes


def diagram_text_unet(
    unet: UNet2DConditionModel, size: int = 64, tokens: int = 77, highlight: Highlight = None
) -> Figure:
    """Plot the U-Net of Stable Diffusion and every position where text enters it by cross-attention.

    Args:
        unet: the network.
        size: side of the latents.
        tokens: how many tokens a prompt has.
        highlight: "input", "down 1", "down 2", …, "middle", …, "up 1", "output", "text embeddings", "cross-attention"
            or "skip connections".
    """
    depth, context = len(unet.down_blocks), unet.config.cross_attention_dim
    inputs = (1, unet.config.in_channels, size, size), (1,), (1, tokens, context)
    levels = [*unet.down_blocks, unet.mid_block, *unet.up_blocks]
    *shapes, out = run_shapes(unet, *inputs, watch=[*(level.resnets[-1] for level in levels), unet])
    names = [f"down {n}" for n in range(1, depth + 1)] + ["middle"] + [f"up {n}" for n in range(depth, 0, -1)]
    step, center = HIGH + 18, WIDTH / 2
    canvas, numbers, boxes = Canvas(76 + (depth + 1) * step + 64, highlight), count(1), []
    title = "text embeddings", f"{tokens}×{context}"
    canvas.box("text", center - 75, 10, 150, 46, *title, part="text embeddings")
    for place, (name, level, shape) in enumerate(zip(names, levels, shapes, strict=True)):
        x = 10 if place < depth else center - WIDE / 2 if place == depth else WIDTH - 10 - WIDE
        box = Box(x, 76 + step * min(place, 2 * depth - place), WIDE, HIGH)
        boxes.append(_add_level(canvas, box, name, level, shape, numbers, place == depth))
    for place in range(depth):
        one, other = boxes[place], boxes[2 * depth - place]
        canvas.arrow((one.right[0], one.y + 15), (other.x, other.y + 15), dashed=True, part="skip connections")
    first, last = (
        canvas.box("latent", box.top[0] - 75, 10, 150, 46, part, shape_text(shape), part=part)
        for part, box, shape in (("input", boxes[0], inputs[0][1:]), ("output", boxes[-1], out))
    )
    canvas.connect_u(first, boxes, last)
    entries, y = next(numbers) - 1, boxes[depth].y + HIGH + 20
    down: list[Any] = list(unet.down_blocks)
    skips = 1 + sum(len(level.resnets) + len(level.downsamplers) for level in down)
    blocks = f"1 to {entries}: transformer blocks (self-attention, cross-attention, MLP)"
    canvas.tag(center, y, f"{blocks}; green arrows: the text, {entries} times")
    canvas.tag(center + 37, y + 26, "res: residual block, which also gets the timestep", "right")
    canvas.tag(center + 51, y + 26, f"dashed: skip connections, {skips} in all", "left", part="skip connections")
    return canvas.finish(
        f"""The U-Net of Stable Diffusion, {count_text(unet)} parameters, for latents of {shape_text(out)}. The
        same text embeddings, {tokens} tokens of {context} values, enter {entries} times, one green arrowhead each: in
        the cross-attention of every transformer block, where they give keys and values."""
    )


def _add_level(canvas: Canvas, box: Box, name: str, level: Any, shape: tuple, numbers: count, is_middle: bool) -> Box:
    """Add a level with a small box for every block, and an arrow from the text to every numbered one."""
    canvas.box("network", box.x, box.y, box.width, box.height, part=name)
    block = ["res", "text"] if is_middle or len(level.attentions) else ["res"]
    kinds = [*block, "res"] if is_middle else block * len(level.resnets)
    wide = min(46, (box.width - 20 + SPACE) / len(kinds) - SPACE)
    left = box.top[0] - (len(kinds) * (wide + SPACE) - SPACE) / 2
    title, top, bus, center = (60, 12, 0, WIDTH / 2) if is_middle else (15, 40, 78, WIDTH / 2)
    canvas.write(box.top[0], box.y + title, f"{name}: {shape_text(shape)}", 10, bold=True)
    canvas.write(box.top[0], box.y + title + 15, f"{count_text(level)} parameters")
    for kind in kinds:
        is_text = kind == "text"
        label, part = (str(next(numbers)), "cross-attention") if is_text else ("res", "")
        chip = canvas.box("text" if is_text else "operation", left, box.y + top, wide, 26, label, part=part)
        left += wide + SPACE
        if is_text:
            turn = box.y + bus
            path = [(center, 56)] if is_middle else [(center, turn), (chip.top[0], turn)]
            end = chip.top if is_middle else chip.bottom
            canvas.arrow(*path, end, part="cross-attention", above=True, color=KINDS["text"][1])
    return box


def diagram_pipeline(pipe: StableDiffusion, highlight: Highlight = None) -> Figure:
    """Plot how Stable Diffusion generates an image from a prompt.

    `highlight`: "prompt", "tokenizer", "text encoder", "text embeddings", "noise", "U-Net", "guidance",
    "sampling step", "latent", "decoder" or "image": the part at hand.
    """
    text, vae, config = pipe.text_encoder, pipe.vae, pipe.config
    image = 1, config.vae.in_channels, config.size, config.size
    latent = shape_text(run_shapes(vae, image)[0])
    decoder = [part for name, part in vae.named_children() if not name.startswith(("encoder", "quant"))]
    sizes = config.text_encoder
    canvas, high, predicts = Canvas(268, highlight), 62, f"predicts the {TARGETS[config.prediction][1]}"
    *_, embeddings = canvas.row(
        10, high,
        ("operation", "prompt", "prompt", "and an empty or", "negative prompt"),
        ("operation", "tokenizer", "tokenizer", f"{sizes.vocab_size:,} tokens known"),
        ("text", "tokenizer", "tokens", f"2×{sizes.max_position_embeddings}"),
        ("network", "text encoder", "text encoder", count_text(text), "parameters"),
        ("text", "text embeddings", "text embeddings", f"2×{sizes.max_position_embeddings}×{sizes.hidden_size}"),
        right=720,
    )  # fmt: skip
    _, network, _, step, *_ = canvas.row(
        138, high,
        ("noise", "noise", "noise $z_T$", latent, "from the seed"),
        ("network", "U-Net", "U-Net($z_t$, t, text)", count_text(pipe.unet), predicts),
        ("operation", "guidance", "guidance", "with and without", "the prompt"),
        ("operation", "sampling step", "sampling step", "$z_t$ → $z_{t'}$"),
        ("latent", "latent", "$z_0$", latent),
        ("network", "decoder", "VAE decoder", count_text(*decoder), "parameters"),
        ("image", "image", "image", shape_text(image[1:])),
    )  # fmt: skip
    canvas.arrow(embeddings.bottom, (embeddings.bottom[0], 106), (network.top[0], 106), network.top)
    canvas.tag((embeddings.bottom[0] + network.top[0]) / 2, 106, "cross-attention, in every sampling step")
    canvas.loop(step, network, 236, "$z_{t'}$, for the next timestep t'")
    return canvas.finish(
        f"""The pipeline of Stable Diffusion. The tokenizer and the text encoder turn the prompt into text embeddings.
        The U-Net denoises a latent of {latent}, sampled at random, in many steps; guidance combines its predictions
        with and without the prompt. The decoder turns the last latent into an image of {shape_text(image[1:])}."""
    )
