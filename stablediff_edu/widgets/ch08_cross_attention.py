"""A panel of chapter 8: cross-attention maps of every token at every step, and the weight of one token."""

from collections.abc import Generator

import numpy as np
from PIL import ImageDraw, ImageOps

from stablediff_edu.pipelines.attention_maps import SampleWithAttention, prompt_tokens, stream_with_attention
from stablediff_edu.pipelines.stable_diffusion import StableDiffusion
from stablediff_edu.plotting.ch07_attention import overlay_heatmap
from stablediff_edu.plotting.grids import tile_images
from stablediff_edu.widgets.base import Job, Panel
from stablediff_edu.widgets.controls import Number, Select, Slider
from stablediff_edu.widgets.prompt_input import PromptInput
from stablediff_edu.widgets.still import font

MAX_WEIGHT = 4
MAP_SIDE, COLUMNS, LINE = 112, 7, 18


class CrossAttentionPanel(Panel):
    """Controls: prompt; seed; token and weight, by which its embedding is multiplied; sampling step.

    Images: original; weighted, the one with the token's weight; attention maps of all tokens. `.samples` holds the two
    `SampleWithAttention`s.

    Args:
        pipe: text encoder, U-Net, autoencoder, and a tokenizer.
        prompt: at the start.
        steps: of each image.
    """

    def __init__(self, pipe: StableDiffusion, prompt: str, steps: int = 15) -> None:
        super().__init__(
            "Cross-attention",
            PromptInput("prompt", pipe.tokenizer, prompt),
            Number("seed", 0, 9999, 0),
            Select("token", {"…": 1}),
            Slider("weight", 0, MAX_WEIGHT, 1, 0.1),
            Slider("sampling step", 1, steps, steps),
        )
        self.pipe, self.steps = pipe, steps
        self.samples: dict[str, SampleWithAttention] = {}
        self.lay_out(
            "prompt",
            ["seed", "token", "weight"],
            ["original", "weighted"],
            "sampling step",
            "attention maps",
            self.note,
        )
        for _ in self._read():
            pass
        self.follow(self._read, "prompt", "seed")
        self.follow(self._weigh, "token", "weight")
        self.follow(self._show_maps, "sampling step")

    def _sample(self, weights: dict[int, float]) -> Generator[None, None, SampleWithAttention]:
        prompt, options = self.controls["prompt"].parsed, dict(seed=self["seed"], steps=self.steps)
        return (yield from stream_with_attention(self.pipe, prompt, weights=weights, **options))

    def _read(self) -> Job:
        """Sample a new prompt as it is, and then with the weight that is set."""
        self.samples["original"] = yield from self._sample({})
        tokens = prompt_tokens(self.pipe, self.controls["prompt"].parsed)
        with self.quietly():
            labels = {f"{n + 1}: {word}": n for n, word in enumerate(tokens)}
            self.controls["token"].offer(labels, min(self["token"], len(tokens) - 1))
        self.show("original", self.samples["original"].image(), f"generated for “{self.controls['prompt'].parsed}”")
        yield from self._weigh()

    def _weigh(self) -> Job:
        weight, token, original = self["weight"], self["token"], self.samples["original"]
        self.samples["weighted"] = original if weight == 1 else (yield from self._sample({token: weight}))
        title = f"“{original.words[token]}” × {weight:g}"
        self.show("weighted", self.samples["weighted"].image(), f"generated with {title}", title)
        self._show_maps()

    def _show_maps(self) -> None:
        sample, step = self.samples["weighted"], self["sampling step"]
        maps, image = sample.looks[step - 1], sample.image(step).cpu()  # (N, h, w), (3, H, W)
        tiles = [
            (overlay_heatmap(image, one, limit).transpose(1, 2, 0) * 255).astype(np.uint8)
            for one, limit in zip(maps, sample.most(), strict=True)
        ]
        sheet = tile_images([tiles[n : n + COLUMNS] for n in range(0, len(tiles), COLUMNS)], MAP_SIDE, LINE)
        sheet = ImageOps.expand(sheet, (0, LINE, 0, 0), "white")
        labels = [f"{word} · {one.mean():.0%}" for word, one in zip(sample.words, maps, strict=True)]
        for n, label in enumerate(labels):
            row, column = divmod(n, COLUMNS)
            place = column * (MAP_SIDE + LINE), row * (MAP_SIDE + LINE)
            ImageDraw.Draw(sheet).text(place, label, "black", font(12))
        self.show("attention maps", sheet, f"maps of the tokens, with their means: {', '.join(labels)}", "")
        rest = 1 - float(maps.sum(dim=0).mean())
        self.say(
            f"Cross-attention of each image patch to each token at sampling step {step} of {self.steps} (yellow: "
            f"largest for this token; above: mean). The rest, {rest:.0%}, goes to the start and end tokens."
        )
