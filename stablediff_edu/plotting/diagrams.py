"""Diagrams of chapters 1 to 5: a convolution, the U-Net, the denoising loop, an autoencoder, latent diffusion.

Shapes and parameter counts are those of the model that is given. `show(diagram_unet(model))` shows a diagram with its
description; `highlight` lights one part or several, by name.
"""

from typing import Any

import torch
from matplotlib.figure import Figure
from torch import nn

from stablediff_edu.errors import UserError
from stablediff_edu.layers.conv import conv2d
from stablediff_edu.models.autoencoder import Autoencoder
from stablediff_edu.models.autoencoder_kl import AutoencoderKL
from stablediff_edu.models.unet import UNet
from stablediff_edu.plotting.core import SIGNED_MAP, signed_text
from stablediff_edu.plotting.diagram_canvas import (
    WIDTH,
    Box,
    Canvas,
    Highlight,
    count_text,
    run_shapes,
    shape_text,
)

NOISE, VELOCITY, CLEAN = ("\\varepsilon", "noise"), ("v", "velocity"), ("x_0", "clean image")
# what a network predicts, in the course's names and in diffusers': its symbol and its name
TARGETS = {
    "noise": NOISE, "epsilon": NOISE, "velocity": VELOCITY, "v_prediction": VELOCITY, "clean": CLEAN, "sample": CLEAN,
}  # fmt: skip


def diagram_convolution(
    image: torch.Tensor, kernel: torch.Tensor, row: int, column: int, highlight: Highlight = None
) -> Figure:
    """Plot how one value of a feature map is computed: patch × kernel, and the sum of the products.

    Args:
        image: (H, W), or (1, H, W).
        kernel: (k, k), 3×3 at most.
        row, column: of the upper left corner of the patch, and of the output pixel.
        highlight: "image", "patch", "kernel", "products", "value" or "feature map".
    """
    image, side = image.reshape(image.shape[-2:]), len(kernel)
    height, width = image.shape
    if side > 3 or not (0 <= row <= height - side and 0 <= column <= width - side):
        raise UserError(
            f"A kernel of {side}×{side} at ({row}, {column}) does not fit; take one of 3×3 at most, inside the image "
            f"of {height}×{width} pixels."
        )
    patch = image[row : row + side, column : column + side]
    output = conv2d(image[None, None], kernel[None, None])[0, 0]  # (H - k + 1, W - k + 1)
    value = signed_text(float(output[row, column]))
    canvas, cell, large, middle = Canvas(282, highlight), 132 / side, 170, 141
    top = middle - large / 2
    lefts = {"image": 10, "patch": 214, "kernel": 372, "products": 530, "feature map": 700}
    canvas.image(image, lefts["image"], top, large, large)
    canvas.image(output, lefts["feature map"], top, large, large, signed=True)
    tables = {"patch": (patch, "gray"), "kernel": (kernel, SIGNED_MAP), "products": (patch * kernel, SIGNED_MAP)}
    for part, (values, colors) in tables.items():
        limit = 1 if part == "patch" else 0
        canvas.grid(values, lefts[part], middle - 66, cell, colors=colors, limit=limit, part=part)
        canvas.tag(lefts[part] + 66, middle - 86, part, part=part)
    for part, shape in (("image", image.shape), ("feature map", output.shape)):
        canvas.tag(lefts[part] + large / 2, top - 20, f"{part} {shape_text(shape)}", part=part)
    canvas.tag(359, middle, "×")
    canvas.tag(517, middle, "=")
    across, down = large / width, large / height  # of a pixel
    framed = canvas.mark(lefts["image"] + across * column, top + down * row, across * side, down * side)
    turn = lefts["patch"] - 20
    canvas.arrow(framed.right, (turn, framed.right[1]), (turn, middle), (lefts["patch"], middle), above=True)
    total = canvas.box("operation", 530, 234, 132, 40, f"sum = {value}", part="value")
    canvas.arrow((total.top[0], middle + 66), total.top)
    down, across = large / output.shape[0], large / output.shape[1]
    x, y, seen = lefts["feature map"] + across * (column + 0.5), top + down * (row + 0.5), max(9, across, down)
    marked = canvas.mark(x - seen / 2, y - seen / 2, seen, seen)
    canvas.arrow(total.right, (marked.bottom[0], total.right[1]), marked.bottom, above=True)
    return canvas.finish(
        f"""A convolution at one position. The {side} × {side} values of the patch (marked in the image) are multiplied
        by the {side} × {side} weights of the kernel; the sum of the {side * side} products, {value}, is one pixel of
        the feature map (marked). The same kernel is used at all {output.numel():,} positions."""
    )


def diagram_unet(model: UNet, size: int = 128, highlight: Highlight = None) -> Figure:
    """Plot a U-Net: the shape and the parameters of every stage, the skip connections, and where the timestep goes in.

    Args:
        model: of chapters 2 to 5.
        size: side of the input image in pixels, a multiple of `model.shrink`.
        highlight: names of `model.stages()`, "input", "skip connections" or, with time, "timestep".
    """
    stages, depth = model.stages(), len(model.encoder)
    config: dict[str, Any] = model.config
    inputs: list[tuple[int, ...]] = [(1, config["in_channels"], size, size)] + [(1,)] * bool(model.time_embedding)
    shapes = dict(zip(stages, run_shapes(model, *inputs, watch=list(stages.values())), strict=True))
    out = run_shapes(model, *inputs)[0]
    wide, high, step, left, right = 204, 60, 84, 26, 650
    canvas = Canvas(20 + (depth + 2) * step, highlight)
    names = list(stages)
    attentions = [*model.encoder_attention, model.bottleneck_attention, *model.decoder_attention]
    upsamples = [None] * (depth + 1) + list(model.upsample)  # in front of a stage: its parameters count there
    boxes: list[Box] = []
    for number, (name, attention, upsample) in enumerate(zip(names[:-1], attentions, upsamples, strict=True)):
        level = number if number <= depth else 2 * depth - number
        shift = min(35, 105 / max(1, depth - 1)) * level
        x = 338 if number == depth else left + shift if number < depth else right - shift
        title = name + (" + self-attention" if len(list(attention.parameters())) else "")
        lines = shape_text(shapes[name]), f"{count_text(stages[name], attention, upsample)} parameters"
        boxes.append(canvas.box("network", x, 10 + (level + 1) * step, wide, high, title, *lines, part=name))
        if model.time_embedding:
            y = boxes[-1].left[1] if number != depth else boxes[-1].y - 5
            canvas.tag(440 if number == depth else x - 6 if number < depth else x + wide + 6, y, "+ t", part="timestep")
    first = canvas.box("image", left, 10, wide, 46, "input", shape_text(inputs[0][1:]), part="input")
    last = canvas.box("image", right, 10, wide, 46, "output", shape_text(out), part="output")
    canvas.connect_u(first, boxes, last)
    for level in range(depth if model.skips else 0):
        one, other = boxes[level], boxes[2 * depth - level]
        canvas.arrow(one.right, other.left, dashed=True, part="skip connections")
        channels = shapes[names[level]][0]
        text = f"skip connection: {channels} + {channels} channels" if level == 0 else f"{channels} + {channels}"
        canvas.tag(440, one.right[1], text, part="skip connections")
    bottom = boxes[depth].y + high - 12
    canvas.tag(left, bottom, "↓ 2×2 average pooling", "left")
    canvas.tag(right + wide, bottom, "↑ 2×2 transposed convolution", "right")
    patches = config["patch"]
    canvas.tag(last.top[0] - 12, 75, f"1×1 convolution{', pixel shuffle' * (patches > 1)}", "right")
    if patches > 1:
        canvas.tag(first.top[0] + 12, 75, "pixel unshuffle", "left")
    if model.time_embedding:
        title, line = f"timestep t → embedding of {config['time']} values", "+ t: added to the channels of a stage"
        canvas.box(
            "operation", 280, 8, 320, 54, title, f"{count_text(model.time_embedding)} parameters", line, part="timestep"
        )
    timestep = (
        f" The timestep, an embedding of {config['time']} values, enters at every stage."
        if model.time_embedding
        else ""
    )
    joined = "There are no skip connections."
    if model.skips:
        joined = "Skip connections (dashed) concatenate the encoder's channels with the decoder's of the same size."
    return canvas.finish(
        f"""A U-Net with {count_text(model)} parameters: {shape_text(inputs[0][1:])} in, {shape_text(out)} out. The
        encoder (left) halves height and width {depth} times and raises the channels to {shapes[names[depth]][0]}; the
        decoder (right) doubles height and width again. {joined}{timestep}"""
    )


def diagram_denoising_loop(
    model: nn.Module,
    size: int = 64,
    channels: int = 3,
    image: torch.Tensor | None = None,
    prediction: str = "epsilon",
    highlight: Highlight = None,
) -> Figure:
    """Plot the sampling loop of a diffusion model: from noise x_T, step by step, to an image x_0.

    Args:
        model: the U-Net.
        size, channels: of the images.
        image: (3, S, S) or (1, S, S) in [-1, 1]: shows an example above the boxes.
        prediction: what the U-Net predicts, such as "noise" or "velocity".
        highlight: "noise", "noisy image", "timestep", "U-Net", "prediction", "sampling step" or "image".
    """
    (symbol, name), shape, top = TARGETS[prediction], shape_text((channels, size, size)), 84
    canvas, high = Canvas(220, highlight), 62
    first, current, network, _, _, after, last = canvas.row(
        top, high,
        ("noise", "noise", "$x_T$", "noise", shape),
        ("image", "noisy image", "$x_t$", "noisy image", shape),
        ("network", "U-Net", "U-Net($x_t$, t)", count_text(model), "parameters"),
        ("noise", "prediction", rf"$\hat{{{symbol}}}$", f"predicted {name}", shape),
        ("operation", "sampling step", "sampling step", "removes a part", "of the noise"),
        ("image", "noisy image", "$x_{t-1}$", "less noisy", shape),
        ("image", "image", "$x_0$", "image", shape),
    )  # fmt: skip
    title = "timestep t", "T, …, 2, 1"
    step = canvas.box("operation", network.x - 20, 12, network.width + 40, 42, *title, part="timestep")
    canvas.arrow(step.bottom, network.top)
    canvas.loop(after, current, top + 100, "next sampling step: $x_{t-1}$ becomes $x_t$")
    canvas.tag(WIDTH - 8, top + high + 18, "after the last step", "right")
    if image is not None:
        noise = torch.randn((len(image), 32, 32), generator=torch.Generator().manual_seed(0))
        small = nn.functional.adaptive_avg_pool2d(image.cpu(), 32)
        for box, alpha_bar in zip((first, current, after, last), (0, 0.4, 0.6, 1), strict=True):
            noisy = alpha_bar**0.5 * small + (1 - alpha_bar) ** 0.5 * noise
            canvas.image(noisy, box.top[0] - 32, top - 74, 64, 64)
    return canvas.finish(
        f"""The sampling loop. It begins with noise x_T of {shape} values. In each sampling step the U-Net
        ({count_text(model)} parameters) predicts the {name} from x_t and the timestep t; with it a part of the noise is
        removed, which gives x_t−1, the input of the next step. After the last step an image x_0 is left."""
    )


def diagram_autoencoder(model: Autoencoder, highlight: Highlight = None) -> Figure:
    """Plot an autoencoder of fully connected layers as an hourglass: how many values each layer leaves.

    `highlight`: "input", "encoder", "latent", "decoder" or "output"; of a variational one also "mean" and "deviation".
    """
    layers = [
        [part for part in half.modules() if isinstance(part, nn.Linear)] for half in (model.encoder, model.decoder)
    ]
    sizes = [[layer.out_features for layer in half] for half in layers]
    widths = [layers[0][0].in_features, *sizes[0][:-1], model.latent, *sizes[1]]
    middle, last = len(sizes[0]), len(widths) - 1
    canvas, boxes = Canvas(250, highlight), []
    gap = 860 / (len(widths) + model.variational)  # a variational one has a column more, for μ and σ
    for number, width in enumerate(widths):
        part = {0: "input", middle: "latent", last: "output"}.get(number, "encoder" if number < middle else "decoder")
        kind = {"input": "image", "output": "image", "latent": "latent"}.get(part, "network")
        high = 34 + 130 * (width / max(widths)) ** 0.5
        x = 10 + gap * (number + 0.5 + (model.variational and number >= middle)) - 35
        boxes.append(canvas.box(kind, x, 128 - high / 2, 70, high, str(width), part=part))
    if model.variational:
        for part, symbol, y in (("mean", r"$\mu$", 72), ("deviation", r"$\sigma$", 140)):
            moment = canvas.box(
                "latent", 10 + gap * (middle + 0.5) - 35, y, 70, 44, symbol, str(model.latent), part=part
            )
            canvas.arrow(boxes[middle - 1].right, moment.left, part=part)
            canvas.arrow(moment.right, boxes[middle].left, part=part)
        canvas.chain(*boxes[:middle])
        canvas.chain(*boxes[middle:])
    else:
        canvas.chain(*boxes)
    for half, first, end, part in ((model.encoder, 0, middle, "encoder"), (model.decoder, middle, last, "decoder")):
        center = (boxes[first].right[0] + boxes[end].x) / 2
        canvas.tag(center, 18, f"{part}: {count_text(half)} parameters", part=part)
    canvas.tag(boxes[0].top[0], 232, "image", part="input")
    canvas.tag(boxes[-1].top[0], 232, "reconstruction", part="output")
    name, sampling = "An autoencoder", ""
    latent = "latent vector"
    if model.variational:
        name, latent = "A variational autoencoder", r"latent vector $z = \mu + \sigma \cdot \epsilon$"
        sampling = """The encoder gives a mean μ and a standard deviation σ for each latent value (its last layer leaves
        log σ²); training decodes a sample z = μ + σ · ε with ε from N(0, 1), later z is μ."""
    canvas.tag(boxes[middle].top[0], 232, latent, part="latent")
    return canvas.finish(
        f"""{name}. The encoder turns the {widths[0]} values of an image into a latent vector of {model.latent};
        the decoder reconstructs the image from it. The numbers are the values that each layer leaves. {sampling}"""
    )


def diagram_latent_diffusion(
    vae: AutoencoderKL, unet: nn.Module, size: int = 512, prediction: str = "epsilon", highlight: Highlight = None
) -> Figure:
    """Plot training against sampling of a latent diffusion model, and which network is trained or frozen when.

    Args:
        vae: the autoencoder.
        unet: the network that is trained on its latents.
        size: side of the images in pixels, a multiple of `vae.config.shrink`.
        prediction: what the U-Net predicts, such as "noise" or "velocity".
        highlight: "training", "sampling", "image", "encoder", "decoder", "latent", "noise", "U-Net", "prediction",
            "loss" or "sampling step".
    """
    channels, (symbol, word) = vae.config.in_channels, TARGETS[prediction]
    symbol = symbol.replace("x", "z")  # of latents
    image, latent = shape_text((channels, size, size)), shape_text(run_shapes(vae, (1, channels, size, size))[0])
    halves: dict[str, list[nn.Module]] = {"encoder": [], "decoder": []}
    for name, part in vae.named_children():
        halves["encoder" if name.startswith(("encoder", "quant")) else "decoder"].append(part)
    encoder, decoder, network = (count_text(*parts) for parts in (*halves.values(), [unet]))
    inputs = "U-Net($z_t$, t)" if isinstance(unet, UNet) else "U-Net($z_t$, t, text)"
    canvas, high = Canvas(370, highlight), 62
    canvas.tag(10, 16, "training: the U-Net learns; the autoencoder is frozen", "left", part="training")
    _, _, _, adds, _, _, _, loss = canvas.row(
        40, high,
        ("image", "training|image", "image", image),
        ("frozen", "training|encoder", "VAE encoder", encoder, "frozen"),
        ("latent", "training|latent", "$z_0$", "latent", latent),
        ("operation", "training|noise", "add noise", "timestep t"),
        ("latent", "training|latent", "$z_t$", "noisy latent", latent),
        ("network", "training|U-Net", inputs, network, "trained"),
        ("noise", "training|prediction", rf"$\hat{{{symbol}}}$", "prediction", latent),
        ("operation", "training|loss", "loss", rf"$(\hat{{{symbol}}}-{symbol})^2$", "mean"),
    )  # fmt: skip
    title = r"$\varepsilon$", "noise", latent
    noise = canvas.box("noise", adds.top[0] - 50, 132, 100, high, *title, part="training|noise")
    canvas.arrow(noise.top, adds.bottom)
    canvas.arrow(noise.right, (loss.bottom[0], noise.right[1]), loss.bottom)
    target = f"target: the {word} ${symbol}$" + r", made of $\varepsilon$ and $z_0$" * (word == "velocity")
    canvas.tag((noise.right[0] + loss.x) / 2, noise.right[1], target)
    canvas.tag(10, 228, "sampling: all networks are frozen; the encoder is not used", "left", part="sampling")
    _, noisy, _, _, step, *_ = canvas.row(
        252, high,
        ("noise", "sampling|noise", "$z_T$", "noise", latent),
        ("latent", "sampling|latent", "$z_t$", "noisy latent", latent),
        ("frozen", "sampling|U-Net", inputs, network, "frozen"),
        ("noise", "sampling|prediction", rf"$\hat{{{symbol}}}$", "prediction", latent),
        ("operation", "sampling|sampling step", "sampling step", "$z_t$ → $z_{t'}$"),
        ("latent", "sampling|latent", "$z_0$", "latent", latent),
        ("frozen", "sampling|decoder", "VAE decoder", decoder, "frozen"),
        ("image", "sampling|image", "image", image),
    )  # fmt: skip
    canvas.loop(step, noisy, 346, "repeat for every sampling step")
    return canvas.finish(
        f"""Latent diffusion. Training: the frozen encoder turns an image ({image}) into a latent ({latent}); noise
        is added, and the U-Net learns to predict the {word}. Sampling: the U-Net turns noise ({latent}) step by step
        into a latent, which the decoder turns into an image. Numbers in networks count parameters; dashed edges:
        frozen."""
    )
