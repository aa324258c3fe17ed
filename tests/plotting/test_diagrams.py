"""Diagrams: their texts come from the model, are legible on any page, and do not overlap."""

import base64
import io
from functools import cache
from itertools import combinations

import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from PIL import Image

import stablediff_edu as sd
from stablediff_edu import plotting
from stablediff_edu.layers.transformer import CLIPEncoderLayer
from stablediff_edu.models.autoencoder_kl import VAEConfig
from stablediff_edu.models.clip import CLIP, CLIPTextConfig, ImageConfig
from stablediff_edu.models.unet_2d_condition import UNetConfig
from stablediff_edu.pipelines.stable_diffusion import TINY
from stablediff_edu.plotting import core as core_plotting
from stablediff_edu.plotting.diagram_canvas import KINDS, LINE, LIT


@cache
def meta(make):
    """Return a model by its defaults, those of the video or of Stable Diffusion v1: shapes and no values."""
    with torch.device("meta"):
        return make()


def convolution(side: int, *more) -> Figure:
    image = torch.linspace(-1, 1, side * side).view(side, side)
    return plotting.diagram_convolution(image, torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]), side - 3, 0, *more)


def time_unet(channels: tuple[int, ...], size: int, highlight=None) -> Figure:
    return plotting.diagram_unet(sd.UNet(3, 3, channels, time=128, patch=2, attention=2), size, highlight)


def skip_gram(words: int, sentence: str, *more, **named) -> Figure:
    return plotting.diagram_skip_gram(sd.Word2Vec(words, 3), sentence.split(), 1, ["king", "a"], *more, **named)


def attention(features: int, heads: int, sentence: str, *more) -> Figure:
    torch.manual_seed(0)
    words, layer = sentence.split(), sd.Attention(features, heads)
    return plotting.diagram_attention(layer, torch.randn(len(words), features), words, *more)


def clip(features: int, count: int, *more) -> Figure:
    model = CLIP(CLIPTextConfig(81, 28, 128, 4, 4), ImageConfig(), features)
    return plotting.diagram_clip(model, -torch.eye(count), *more)


DIGITS_VAE = VAEConfig(in_channels=1, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4)
TINY_UNET = UNetConfig(
    block_out_channels=(64, 64),
    layers_per_block=1,
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
    num_attention_heads=4,
    cross_attention_dim=32,
)
TEXT = "the film was not very good at all"
# name: a part to light, the diagram with that part lit, the diagram of another model, some of that one's texts
CASES = {
    "convolution": ("kernel", lambda lit: convolution(64, lit), lambda: convolution(9), ["feature map 7×7"]),
    "U-Net": (
        "skip connections",
        lambda lit: plotting.diagram_unet(meta(sd.UNet), 512, lit),
        lambda: plotting.diagram_unet(sd.UNet(channels=(4, 6, 8)), 32),
        ["4×32×32", "8×8×8", "6 + 6"],
    ),
    "U-Net with time": (
        ["timestep", "up 1"],
        lambda lit: time_unet((24, 48, 96, 192), 64, lit),
        lambda: time_unet((8, 12), 8),
        ["8×4×4", "12×2×2"],
    ),
    "denoising loop": (
        "U-Net",
        lambda lit: plotting.diagram_denoising_loop(meta(sd.UNet), 64, 3, torch.zeros(3, 64, 64), "v_prediction", lit),
        lambda: plotting.diagram_denoising_loop(sd.UNet(1, channels=(4, 6)), 28, 1),
        ["1×28×28", "1,313"],
    ),
    "autoencoder": (
        "latent",
        lambda lit: plotting.diagram_autoencoder(sd.Autoencoder(variational=True), lit),
        lambda: plotting.diagram_autoencoder(sd.Autoencoder(5, (99,))),
        ["99", "5"],
    ),
    "latent diffusion": (
        "U-Net",
        lambda lit: plotting.diagram_latent_diffusion(
            meta(sd.AutoencoderKL), meta(sd.UNet2DConditionModel), 512, "v_prediction", lit
        ),
        lambda: plotting.diagram_latent_diffusion(sd.AutoencoderKL(DIGITS_VAE), sd.UNet(4, 4, (8, 12)), 32),
        ["1×32×32", "4×16×16"],
    ),
    "skip-gram": (
        "window",
        lambda lit: skip_gram(71_290, "the tall building is very old", highlight=lit),
        lambda: skip_gram(7, "a b c", 1),
        ["7×3", "2 positive pairs: center word and a word within 1 position (the window)"],
    ),
    "attention": (
        "query",
        lambda lit: attention(32, 4, TEXT, lit),
        lambda: attention(6, 1, "not good"),
        ["6×6", "2×6"],
    ),
    "transformer block": (
        "cross-attention",
        lambda lit: plotting.diagram_transformer_block(sd.BasicTransformerBlock(1280, 8, 768), lit),
        lambda: plotting.diagram_transformer_block(CLIPEncoderLayer(8, 2)),
        ["N×8", "2 heads"],
    ),
    "CLIP": ("similarities", lambda lit: clip(128, 5, lit), lambda: clip(96, 2), ["96 values"]),
    "text in the U-Net": (
        "cross-attention",
        lambda lit: plotting.diagram_text_unet(meta(sd.UNet2DConditionModel), 64, 77, lit),
        lambda: plotting.diagram_text_unet(sd.UNet2DConditionModel(TINY_UNET), 8, 5),
        ["5×32", "1 to 4: transformer blocks (self-attention, cross-attention, MLP); green arrows: the text, 4 times"],
    ),
    "pipeline": (
        "text encoder",
        lambda lit: plotting.diagram_pipeline(meta(sd.StableDiffusion), lit),
        lambda: plotting.diagram_pipeline(sd.StableDiffusion(TINY)),
        ["4×8×8", "2×28×128"],
    ),
}


def luminance(color: object) -> float:
    """Return the relative luminance of a color, 0 for black and 1 for white (WCAG 2.2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: object, other: object) -> float:
    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


def check_legible(figure: Figure) -> set[str]:
    """Each text has at least 9 points, lies inside a fill with enough contrast, and overlaps no other text."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    fills = [
        (patch.get_window_extent(renderer), patch.get_facecolor())
        for patch in figure.axes[0].patches  # later ones are above
        if isinstance(patch, FancyBboxPatch | Rectangle) and patch.fill
    ]
    places = {}
    for text in figure.axes[0].texts:
        what, tag, own = text.get_text(), text.get_bbox_patch(), text.get_window_extent(renderer)
        corners = [(own.x0, own.y0), (own.x1, own.y1)]
        below = [color for fill, color in fills if all(fill.contains(*corner) for corner in corners)]
        assert tag or below, f"{what!r} is longer than its box"
        assert contrast(text.get_color(), tag.get_facecolor() if tag else below[-1]) >= 4.5, what
        assert text.get_fontsize() >= 9, what
        places[text] = tag.get_window_extent(renderer) if tag else own
        assert places[text].x0 >= -8 and places[text].x1 <= figure.bbox.x1 + 8, f"{what!r} is cut off"
        assert places[text].y0 >= -8 and places[text].y1 <= figure.bbox.y1 + 8, f"{what!r} is cut off"
    for (one, first), (other, second) in combinations(places.items(), 2):
        wide = min(first.x1, second.x1) - max(first.x0, second.x0)
        high = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert min(wide, high) < 2, f"{one.get_text()!r} overlaps {other.get_text()!r}"
    return {text.get_text() for text in places}


@pytest.mark.parametrize("name", CASES)
def test_a_diagram_is_legible_and_follows_its_model(name: str):
    part, make, other, expected = CASES[name]
    lit, changed = make(part), other()
    written, written_of_other = check_legible(lit), check_legible(changed)
    assert set(expected) <= written_of_other and not set(expected) & written
    assert lit.get_label() != changed.get_label()
    assert all(figure.get_size_inches()[0] * 100 + 16 <= 900 for figure in (lit, changed))


def test_an_unknown_part_gets_a_sentence_with_the_parts_that_there_are():
    with pytest.raises(sd.UserError, match="no part 'roof'; choose from: input, encoder, latent,"):
        plotting.diagram_autoencoder(sd.Autoencoder(2), "roof")


def test_lines_are_visible_on_white_and_on_black():
    for color in (LINE, LIT, *(edge for _, edge in KINDS.values())):
        assert min(contrast(color, page) for page in ("white", "#111111")) >= 3, color


def test_a_diagram_shows_its_description_on_a_transparent_background(monkeypatch):
    outputs = []
    monkeypatch.setattr("IPython.display.display", lambda *args, raw, metadata=None: outputs.append((*args, metadata)))
    figure = plotting.diagram_autoencoder(sd.Autoencoder(2))
    core_plotting.show_figure(figure)
    (data, metadata), _ = outputs
    assert metadata["image/png"]["alt"] == figure.get_label() and "784 values" in figure.get_label()
    image = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert image.width <= 900 and image.convert("RGBA").getpixel((0, 0))[3] == 0
