"""The map of chapter 5 for a saved web page, where no Python runs: the decoder's weights travel in the page."""

import base64
import html
import json
from pathlib import Path

import torch
from torch import nn

from stablediff_edu.display.panels import fine_slider, latent_pad
from stablediff_edu.display.panels.encoded import EncodedDigits
from stablediff_edu.errors import CourseError

SCRIPT = Path(__file__).with_name("latent_page.js")
HEIGHT = 580  # of the page within a page, in pixels
PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8"><title>a map of digits</title>
<style>{style}</style>
<body><div id="pad"></div>
<script type="module">
{script}
openPage(document.getElementById("pad"), {state}, {weights});
</script>
"""


def pad_page(model, pictures: torch.Tensor, labels: torch.Tensor) -> str:
    """Return a web page that holds the map, the decoder and two sliders, and asks for nothing else.

    The script is that of `latent_pad`; here it also runs the decoder, with weights rounded to 16-bit floats.

    Args:
        model: an `Autoencoder` with two numbers: its `decoder` is a stack of Linear and SiLU with a Tanh at the end.
        pictures: (N, 1, 28, 28) digits in [-1, 1], for the map.
        labels: (N,) which digit each one is.

    Raises:
        CourseError: the decoder has other layers, or the network does not make two numbers of a digit.
    """
    digits = EncodedDigits(model, pictures, labels)
    state = dict(map=latent_pad.map_of(digits), line=[])
    start = digits.codes[digits.examples(digits.digits()[0])[0]].tolist()
    state |= {name: one.nearest(at) for name, one, at in zip("xy", digits.ranges, start, strict=True)}
    # nobody imports from a page: the modules become one script, without what they export
    scripts = [path.read_text("utf-8") for path in (fine_slider.SCRIPT, latent_pad.SCRIPT, SCRIPT)]
    return PAGE.format(
        style=fine_slider.STYLE.read_text("utf-8") + latent_pad.STYLE.read_text("utf-8"),
        script="\n".join(script.partition("export default")[0] for script in scripts),
        state=json.dumps(state),
        weights=json.dumps(_pack(model)),
    )


def show_pad_page(model, pictures: torch.Tensor, labels: torch.Tensor) -> None:
    """Show the page of :func:`pad_page` under the cell, folded up: it works in a notebook saved as a web page too."""
    from IPython.display import display

    page = html.escape(pad_page(model, pictures, labels))
    title = "The same map for a saved web page, where no Python runs"
    caption = "Open the line above: the browser itself decodes there, with the decoder's weights kept in this page."
    frame = (
        f'<iframe title="{title}" sandbox="allow-scripts" srcdoc="{page}" '
        f'style="width: 100%; height: {HEIGHT}px; border: 0"></iframe>'
    )
    fold = f'<details><summary style="cursor: pointer">{title}</summary>{frame}</details>'
    line = f'<p style="margin: 0 0 12px 6px; max-width: 58em; line-height: 1.4"><em>{caption}</em></p>'
    display({"text/html": fold + line, "text/plain": f"{title}. {caption}"}, raw=True)


def _pack(model) -> dict[str, object]:
    """Return the sizes of the decoder's Linear layers, and all their numbers as 16-bit floats in base64."""
    parts = list(getattr(model, "decoder", ()))
    kinds = [type(part) for part in parts]
    linear = parts[:-1:2]
    wanted = [nn.Linear, nn.SiLU] * (len(linear) - 1) + [nn.Linear, nn.Tanh, nn.Unflatten]
    if not linear or kinds != wanted:
        raise CourseError(
            "The page runs a decoder of Linear, SiLU, …, Linear, Tanh, Unflatten layers only; give it an Autoencoder."
        )
    with torch.no_grad():
        numbers = torch.cat([values.cpu().flatten() for layer in linear for values in (layer.weight, layer.bias)])
    return dict(
        sizes=[(layer.in_features, layer.out_features) for layer in linear],
        numbers=base64.b64encode(numbers.half().numpy().astype("<f2").tobytes()).decode("ascii"),
    )
