"""The map of chapter 5 for a saved web page, where no Python runs: the page holds the decoder's weights."""

import base64
import html
import json

import torch
from torch import nn

from stablediff_edu.errors import UserError
from stablediff_edu.widgets.ch05_latent_map import map_of
from stablediff_edu.widgets.controls import STYLE, script
from stablediff_edu.widgets.latent_dataset import LatentDataset

HEIGHT = 600  # of the page within a page, in pixels
PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8"><title>latent space of digits</title>
<style>{style}</style>
<body style="background: #fff"><div id="map"></div>
<script type="module">
{script}
openPage(document.getElementById("map"), {state}, {weights});
</script>
"""


def latent_map_html(model, images: torch.Tensor, labels: torch.Tensor) -> str:
    """Return a web page with the map, the decoder and two sliders. It loads nothing else.

    The script is that of `latent_map`; here it also runs the decoder, with weights rounded to float16.

    Args:
        model: an `Autoencoder` with two latent dimensions: its `decoder` has Linear and SiLU layers, Tanh at the end.
        images: digits, (N, 1, 28, 28) in [-1, 1], for the map.
        labels: (N,) the digits.

    Raises:
        UserError: the decoder has other layers, or the latent space has not two dimensions.
    """
    data = LatentDataset(model, images, labels)
    state = dict(map=map_of(data), line=[])
    start = data.z[data.examples(data.digits()[0])[0]].tolist()
    state |= {name: one.snap(at) for name, one, at in zip("xy", data.ranges, start, strict=True)}
    return PAGE.format(
        style=STYLE,
        script=script("controls", "latent_map", "latent_page"),
        state=json.dumps(state),
        weights=json.dumps(_serialize_decoder(model)),
    )


def show_latent_map_html(model, images: torch.Tensor, labels: torch.Tensor) -> None:
    """Show the page of :func:`latent_map_html` under the cell, folded up: it works in a saved web page too."""
    from IPython.display import display

    page = html.escape(latent_map_html(model, images, labels))
    title = "The same map for a saved web page, where no Python runs"
    caption = "Open the line above: the browser decodes, with the decoder's weights in this page."
    frame = (
        f'<iframe title="{title}" sandbox="allow-scripts" srcdoc="{page}" '
        f'style="width: 100%; height: {HEIGHT}px; border: 0"></iframe>'
    )
    fold = f'<details><summary style="cursor: pointer">{title}</summary>{frame}</details>'
    line = f'<p style="margin: 0 0 12px 6px; max-width: 58em; line-height: 1.4"><em>{caption}</em></p>'
    display({"text/html": fold + line, "text/plain": f"{title}. {caption}"}, raw=True)


def _serialize_decoder(model) -> dict[str, object]:
    """Return the sizes of the decoder's Linear layers, and all their parameters as float16 in base64."""
    layers = list(getattr(model, "decoder", ()))
    linear = layers[:-1:2]
    expected = [nn.Linear, nn.SiLU] * (len(linear) - 1) + [nn.Linear, nn.Tanh, nn.Unflatten]
    if not linear or [type(layer) for layer in layers] != expected:
        raise UserError(
            "The page runs a decoder of Linear, SiLU, …, Linear, Tanh, Unflatten layers only; give it an Autoencoder."
        )
    with torch.no_grad():
        values = torch.cat([part.cpu().flatten() for layer in linear for part in (layer.weight, layer.bias)])
    return dict(
        sizes=[(layer.in_features, layer.out_features) for layer in linear],
        values=base64.b64encode(values.half().numpy().astype("<f2").tobytes()).decode("ascii"),
    )
