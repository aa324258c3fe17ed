"""A panel of chapter 8: cross-attention maps of every token at every step, and the weight of one token."""

import base64
import html
from collections.abc import Generator

import ipywidgets
from PIL import Image

from stablediff_edu.notebook.progress import encode_png, tile_images, to_uint8
from stablediff_edu.pipelines.attention_maps import SampleWithAttention, prompt_tokens, stream_with_attention
from stablediff_edu.pipelines.stable_diffusion import StableDiffusion
from stablediff_edu.plotting.ch07_attention import overlay_heatmap
from stablediff_edu.widgets.base import Panel, nearest_multiple
from stablediff_edu.widgets.controls import Select, Slider, seed_box
from stablediff_edu.widgets.prompt_input import PromptInput

MAX_WEIGHT = 4
SIDE, MAP_SIDE = 256, 112


class CrossAttentionPanel(Panel):
    """Controls: prompt; seed; token and weight, by which its embedding is multiplied; sampling step.

    Images: original, and weighted, the one with the token's weight. `.maps` holds the maps of all tokens as HTML,
    `.samples` the two `SampleWithAttention`s.

    Args:
        pipe: text encoder, U-Net, autoencoder, and a tokenizer.
        prompt, steps, guidance, seed: as for `StableDiffusion.stream`, at the start.
    """

    def __init__(
        self,
        pipe: StableDiffusion,
        prompt: str = "a red sailboat at night",
        *,
        steps: int = 15,
        guidance: float = 4.0,
        seed: int = 0,
    ) -> None:
        super().__init__("Cross-attention")
        self.pipe, self.options, self.samples = pipe, dict(steps=steps, guidance=guidance), {}
        self.controls |= {
            "prompt": PromptInput("prompt", pipe.tokenizer, prompt),
            "seed": seed_box(seed),
            "token": Select("token", ["…"]),
            "weight": Slider("weight", 0, MAX_WEIGHT, 1, 0.1),
            "sampling step": Slider("sampling step", 1, steps, steps),
        }
        self.maps = ipywidgets.HTML()
        side = nearest_multiple(pipe.config.size, SIDE)
        self.lay_out(
            "prompt",
            ["seed", "token", "weight"],
            [self.image("original", side), self.image("weighted", side)],
            ["sampling step"],
            self.maps,
            self.note,
        )
        for _ in self._read():
            pass
        self.follow(self._read, "prompt", "seed")
        self.follow(self._weigh, "token", "weight")
        self.follow(self._show_maps, "sampling step")

    def _sample(self, weights: dict[int, float]) -> Generator[None, None, SampleWithAttention]:
        prompt, seed = self.controls["prompt"].parsed, self.value("seed")
        return (yield from stream_with_attention(self.pipe, prompt, weights=weights, seed=seed, **self.options))

    def _read(self) -> Generator[None, None, None]:
        """Sample a new prompt as it is, and then with the weight that is set."""
        self.samples["original"] = yield from self._sample({})
        tokens = prompt_tokens(self.pipe, self.controls["prompt"].parsed)
        token = self.controls["token"]
        chosen = min(token.index if len(token.options) > 1 else 1, len(tokens) - 1)
        with self.quietly():
            token.set_options({f"{n + 1}: {word}": n for n, word in enumerate(tokens)}, chosen)
        self.show("original", self.samples["original"].image(), f"generated for “{self.controls['prompt'].parsed}”")
        yield from self._weigh()

    def _weigh(self) -> Generator[None, None, None]:
        weight, token = self.value("weight"), self.value("token")
        original = self.samples["original"]
        self.samples["weighted"] = original if weight == 1 else (yield from self._sample({token: weight}))
        self.images["weighted"].title = f"“{original.words[token]}” × {weight:g}"
        self.show("weighted", self.samples["weighted"].image(), f"generated with {self.images['weighted'].title}")
        self._show_maps()

    def _tiles(self) -> Generator[tuple[str, Image.Image], None, None]:
        sample, step = self.samples["weighted"], self.value("sampling step")
        image = sample.image(step).cpu()  # (3, H, W)
        for word, weights, limit in zip(
            sample.words, sample.looks[step - 1], sample.most(), strict=True
        ):  # (h, w) each
            tile = tile_images([[to_uint8(overlay_heatmap(image, weights, limit), "unit")]], MAP_SIDE)
            yield f"{word} · {weights.mean():.0%}", tile

    def _show_maps(self) -> None:
        step = self.value("sampling step")
        figures = []
        for title, tile in self._tiles():
            source, name = base64.b64encode(encode_png(tile)).decode(), html.escape(title)
            figures.append(
                f'<figure><img src="data:image/png;base64,{source}" width="{MAP_SIDE}" alt="map of {name}">'
                f"<figcaption>{name}</figcaption></figure>"
            )
        self.maps.value = f'<div class="sd-maps">{"".join(figures)}</div>'
        rest = 1 - float(self.samples["weighted"].looks[step - 1].sum(dim=0).mean())
        self.say(
            f"Cross-attention of each image patch to each token at sampling step {step} of {self.options['steps']} "
            f"(yellow: largest for this token; below: mean). The rest, {rest:.0%}, goes to the start and end tokens."
        )

    def tiles(self) -> list[tuple[str, Image.Image]]:
        return [*super().tiles(), *self._tiles()]
