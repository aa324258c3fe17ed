"""Stable Diffusion: a sentence in, a picture out.

    pipe = StableDiffusion.from_pretrained("stable-diffusion-v1-5/stable-diffusion-v1-5")
    picture = pipe("a blue sofa in a white room", steps=20, guidance=7.5, seed=1)  # (1, 3, 512, 512) in [-1, 1]

Three networks: one reads the sentence, one finds the noise in a latent, one turns latents into pictures (Rombach et
al., 2021, "High-resolution image synthesis with latent diffusion models"). With `V1` they are Stable Diffusion v1, with
`TINY` the course's own: the same code.
"""

import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stablediff_edu.device import to_device
from stablediff_edu.diffusion import wishes
from stablediff_edu.diffusion.editing import Original
from stablediff_edu.diffusion.samplers import SAMPLERS, Level, Step, levels, noise_source, sample
from stablediff_edu.diffusion.schedule import Schedule
from stablediff_edu.errors import CourseError, enough_memory
from stablediff_edu.layers.attention import watch_attention
from stablediff_edu.models.clip import TextConfig, TextEncoder
from stablediff_edu.models.conditional_unet import ConditionalUNet, UNetConfig
from stablediff_edu.models.vae import AutoencoderKL, VAEConfig
from stablediff_edu.tokenizers.clip_bpe import checked_text
from stablediff_edu.weights.pretrained import read_parts
from stablediff_edu.weights.saving import write_file, write_folder

Text = str | Sequence[str] | torch.Tensor  # one prompt, several, or what `read` has made of them


@dataclass(frozen=True)
class StableDiffusionConfig:
    """The sizes of the three networks, and how the U-Net was trained; by default Stable Diffusion v1's."""

    text: TextConfig = field(default_factory=TextConfig)
    unet: UNetConfig = field(default_factory=UNetConfig)
    vae: VAEConfig = field(default_factory=VAEConfig)
    prediction: str = "noise"  # what the U-Net answers
    size: int = 512  # side of the pictures that it was trained on, in pixels
    schedule: str = "scaled_linear"  # which schedule of `Schedule`

    def __post_init__(self) -> None:
        for name, kind in dict(text=TextConfig, unet=UNetConfig, vae=VAEConfig).items():
            if isinstance(sizes := getattr(self, name), dict):  # the card of a checkpoint gives a dictionary
                object.__setattr__(self, name, kind(**sizes))


V1 = StableDiffusionConfig()
TINY = StableDiffusionConfig(
    TextConfig(vocabulary=81, positions=28, width=128, layers=4, heads=4),
    UNetConfig(widths=(64, 128), blocks=1, attention=(True, True), heads=4, context=128),
    VAEConfig(widths=(16, 32, 64, 128), blocks=1, groups=8),
    prediction="velocity",
    size=64,
    schedule="cosine",
)

# Where samplers stop: as in diffusers with Stable Diffusion's settings. Those that are not here go from end to end.
LEADING = {"spacing": "leading", "offset": 1}
STOPS = {"ddpm": LEADING, "ddim": LEADING | {"to_clean": False}, "pndm": LEADING | {"to_clean": False}}
LARGE = 48 * 48  # places of latents that are decoded at once, to spare the memory


@dataclass(frozen=True)
class DrawnStep:
    """One step of a drawing.

    Attributes:
        number, of: 1, 2, … of so many.
        t: the step of the schedule where it began.
        latent: (B, 4, h, w), what the next step goes on with.
        x0: (B, 4, h, w), the clean latent that the U-Net already sees in the noise.
        decode: latents to pictures, for `preview` and `picture`.
    """

    number: int
    of: int
    t: float
    latent: torch.Tensor
    x0: torch.Tensor
    decode: Callable[[torch.Tensor], torch.Tensor]

    def preview(self) -> torch.Tensor:
        """Decode what the U-Net already sees, blurred at first: (B, 3, H, W). It costs about as much as a step."""
        return self.decode(self.x0)

    def picture(self) -> torch.Tensor:
        """Decode the latent with the noise that is left in it, (B, 3, H, W): after the last step, the result."""
        return self.decode(self.latent)


class StableDiffusion(nn.Module):
    """Text encoder, U-Net, autoencoder; `pipe("a red ship")` draws.

    Args:
        config: `V1`, `TINY`, or other sizes.
        tokenizer: turns a list of sentences into tokens (B, N) int64.
    """

    def __init__(self, config: StableDiffusionConfig = V1, tokenizer: Callable | None = None) -> None:
        super().__init__()
        self.config = config
        self.tokenizer: Any = tokenizer  # may have more than a call, such as `left_out`
        self.schedule: Schedule = getattr(Schedule, config.schedule)()
        self.text_encoder = TextEncoder(config.text)
        self.unet = ConditionalUNet(config.unet)
        self.vae = AutoencoderKL(config.vae)

    # --- the six steps of the video's checklist -----------------------------------------------------------------------

    @torch.no_grad()
    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        """1. The autoencoder turns pictures into latents: (B, 3, H, W) in [-1, 1] -> (B, 4, h, w)."""
        vae = self._vae_in_float32()
        return vae.encode(to_device(pictures, self._like.device).to(vae.quant.weight)).to(self._dtype)

    def denoise(self, xt, context, nothing, guidance, steps, sampler, seed=0, skip=0) -> Iterator[Step]:
        """2. The U-Net takes the noise away in many small steps, each time told how much is left (as a position).

        `xt` is noise (B, 4, h, w), or a mixture as at the step after the first `skip`; `context` and `nothing`,
        (B, N, width), are the prompt as it was read and what it is compared with.
        """

        def model(xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return self.guided(xt, t, context, nothing, guidance)

        how = dict(steps=steps, sampler=sampler, prediction=self.config.prediction, **self.stops(sampler))
        return sample(model, self.schedule, seed=seed, start=xt, skip=skip, **how)

    @torch.no_grad()
    def read(self, prompts: Text) -> torch.Tensor:
        """3. The text encoder turns prompts into vectors, one a token, that know the tokens before: (B, N, width).

        A prompt of more than 75 tokens is read in chunks of 75, one after the other, and N is 77 times their number.
        """
        if isinstance(prompts, torch.Tensor):
            return prompts.to(self._like)
        sentences = [checked_text(text) for text in (prompts if isinstance(prompts, list | tuple) else [prompts])]
        if not sentences:
            raise CourseError("There is no prompt; give one.")
        if not self.tokenizer:
            raise CourseError("There is no tokenizer; give one to StableDiffusion(config, tokenizer).")
        tokens = to_device(
            self.tokenizer(sentences), self._like.device
        )  # (B, N), or (B, n · positions) if they are long
        rows = tokens.reshape(-1, min(tokens.shape[1], self.config.text.positions))
        return self._finite("text_encoder", lambda: self.text_encoder(rows)).reshape(*tokens.shape, -1)

    @torch.no_grad()
    def find_noise(self, xt: torch.Tensor, t: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """4. The U-Net's convolutions take features from the latent, down to small sizes and up again: what is noise?

        (B, 4, h, w), (B,), (B, N, width) -> (B, 4, h, w)
        """

        def compute() -> torch.Tensor:
            return self.unet(xt.to(self._like), t, context.to(self._like))

        # float32 does not overflow, and a check makes the CPU wait for the device: there `decode` finds what is broken
        return (self._finite("unet", compute) if self._like.dtype.itemsize < 4 else compute()).to(xt)

    def look_at_words(self, xt: torch.Tensor, t: torch.Tensor, context: torch.Tensor) -> dict[str, torch.Tensor]:
        """5. The U-Net's cross-attention joins words and places: the name of each -> (B, heads, h', w', N)."""
        parts = {name: part for name, part in self.unet.named_modules() if name.endswith(".cross")}
        with ExitStack() as stack:
            seen = {name: stack.enter_context(watch_attention(part)) for name, part in parts.items()}
            self.find_noise(xt, t, context)
        maps = {}
        for name, weights in seen.items():
            height, width = xt.shape[2:]
            while height * width > weights[""].shape[2]:  # it looks from a level further down
                height, width = (height + 1) // 2, (width + 1) // 2
            maps[name] = weights[""].unflatten(2, (height, width))  # (B, heads, h'·w', N) -> (B, heads, h', w', N)
        return maps

    @torch.no_grad()
    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """6. The autoencoder turns latents back into pictures: (B, 4, h, w) -> (B, 3, H, W) in [-1, 1] on the CPU.

        Raises:
            CourseError: the images hold infinity or NaN.
        """
        vae, at_once = self._vae_in_float32(), max(1, LARGE // (z.shape[2] * z.shape[3]))
        parts = z.to(vae.quant.weight).split(at_once)
        return self._finite("vae", lambda: torch.cat([vae.decode(part).cpu() for part in parts])).clamp(-1, 1)

    # --- all in one call ----------------------------------------------------------------------------------------------

    def forward(self, prompt: Text, negative: Text = "", **more) -> torch.Tensor:
        """Return pictures (B, 3, H, W) in [-1, 1]; `draw` has the same arguments and gives every step too."""
        return deque(self.draw(prompt, negative, **more), maxlen=1)[0].picture()

    def draw(
        self, prompt: Text, negative: Text = "", *, steps: int = 20, guidance: float = 7.5,
        seed: int | torch.Generator = 0, sampler: str = "dpm++", size: wishes.Size | None = None, count: int = 1,
        image: torch.Tensor | None = None, strength: float | None = None, mask: torch.Tensor | None = None,
    ) -> Iterator[DrawnStep]:  # fmt: skip
        """Draw, and give every step on the way.

        Args:
            prompt: what to draw; a list is drawn in one batch. Or what `read` gave, changed as you like.
            negative: what to stay away from: one for all prompts, or one for each.
            guidance: how much more the prompt counts than it would by itself; 1: no more, 0: not at all.
            seed: of all noise; picture i of a seed is the same in every batch.
            sampler: one of SAMPLERS.
            size: of the pictures in pixels; by default the image's, or what the model was trained on.
            count: pictures of each prompt; they stand side by side in the batch.
            image: begin with this, (3, H, W) in [-1, 1] or one for each prompt.
            strength: the share of the steps to go, more than 0 up to 1, where nothing is left of the image; by default
                0.8, with a mask 1.
            mask: (H, W), or (B, 1, H, W) with one for each prompt: 1 where the image is drawn anew, 0 where it stays.

        Raises:
            CourseError: something of this does not go, or needs more memory than there is; the sentence says why.
        """
        wishes.check_numbers(count, guidance, seed)
        wishes.check_image(image, strength, mask)
        stops = levels(self.schedule, steps, sampler, **self.stops(sampler))
        default, shrink = (self.config.size if image is None else image.shape[-2:]), self.config.vae.shrink
        height, width = wishes.checked_size(default if size is None else size, shrink, image)
        skip = 0 if image is None else wishes.steps_left_out(steps, strength, mask)
        with enough_memory():
            context, nothing = self._contexts(prompt, negative, count)
            latents = torch.empty(len(context), self.config.vae.latent, height // shrink, width // shrink)
            eps = noise_source(seed, latents.to(self._like.device, self._dtype))()
            original = None if image is None else Original(image, mask, len(context), count, self.encode)
        if original and skip:
            xt = original.noisy(stops[skip], eps)
        else:  # for samplers that count in σ, noise alone is σ · eps
            xt = stops[0].noise * eps if SAMPLERS[sampler][1] == "between" else eps
        fresh = seed if isinstance(seed, torch.Generator) else -1 - seed  # the steps' noise must not be eps once more
        way = self.denoise(xt, context, nothing, guidance, steps, sampler, fresh, skip)
        return self._drawn(way, stops[skip:], original, eps)

    def _drawn(self, way: Iterator[Step], stops: list[Level], original: Original | None, eps) -> Iterator[DrawnStep]:
        """Go the way, putting back after each step what is to stay of the original."""

        def decode(z: torch.Tensor) -> torch.Tensor:
            with enough_memory():
                return original.paste(self.decode(z)) if original else self.decode(z)

        with enough_memory():
            for step in way:
                if original:
                    original.put_back(step.next, stops[step.number], eps)  # the sampler goes on from this very tensor
                yield DrawnStep(step.number, len(stops) - 1, step.t, step.next, step.x0, decode)

    def guided(self, xt, t, context, nothing, guidance: float) -> torch.Tensor:
        """Find the noise with the prompt and without it, and go from this towards that and beyond, where guidance > 1.

        nothing + guidance · (prompt - nothing) (Ho and Salimans, 2022, "Classifier-free diffusion guidance").
        """
        if guidance in (0, 1):
            return self.find_noise(xt, t, context if guidance else nothing)
        both = self.find_noise(torch.cat([xt, xt]), torch.cat([t, t]), torch.cat([nothing, context]))
        without, there = both.chunk(2)
        return without + guidance * (there - without)

    def stops(self, sampler: str) -> dict[str, Any]:
        """Return where a sampler stops, as arguments of `levels`: diffusers' way with Stable Diffusion's schedule."""
        return STOPS.get(sampler, {"spacing": "linspace"}) if self.config.schedule == "scaled_linear" else {}

    # --- weights ------------------------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls, source: str | Path, half: bool = False, tokenizer: Callable | None = None, prediction: str | None = None
    ) -> "StableDiffusion":
        """Return the model of a folder, a file, or a name on the Hub (see `read_parts`), in half precision if wished.

        Args:
            tokenizer: in the place of the one that lies in the folder or beside the file.
            prediction: what the U-Net predicts, where the file does not say: "noise", "velocity" or "clean".

        Raises:
            CourseError: they are missing, broken or another model's, or the memory does not suffice.
        """
        parts = read_parts(source, half)
        config = StableDiffusionConfig(**parts.config | ({"prediction": prediction} if prediction else {}))
        with torch.device("meta"):  # sizes alone, so that no weight is in memory twice
            model = cls(config, tokenizer or parts.tokenizer())
        for name, part in model.named_children():
            part.load_state_dict(parts.weights(name), assign=True)
        return model.eval()

    def save_pretrained(self, path: str | Path, half: bool = False) -> Path:
        """Write the weights as diffusers does, into a folder, or into a single .safetensors file as CompVis did."""
        return (write_file if Path(path).suffix else write_folder)(path, self, half)

    # --- what the caller means ----------------------------------------------------------------------------------------

    @property
    def _like(self) -> torch.Tensor:
        """A tensor of the weights' precision, where they are."""
        return self.unet.last.weight

    @property
    def _dtype(self) -> torch.dtype:
        """What is computed between the networks: at least single precision, also where their weights are half."""
        return torch.promote_types(self._like.dtype, torch.float32)

    def _vae_in_float32(self) -> AutoencoderKL:
        """Return the autoencoder, in single precision at least: in half precision some weights give black pictures."""
        return self.vae.float() if self.vae.quant.weight.dtype.itemsize < 4 else self.vae

    def _finite(self, part: str, compute: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Compute with a network; where half precision overflows, once more in single precision.

        Raises:
            CourseError: the values are not finite in single precision either.
        """
        values, network = compute(), getattr(self, part)
        if not values.isfinite().all() and next(network.parameters()).dtype.itemsize < 4:
            warnings.warn(f"{part} overflows in half precision; from here on it computes in float32.", stacklevel=2)
            network.float()
            values = compute()
        if values.isfinite().all():
            return values
        for name, weight in self.named_parameters():
            if not weight.isfinite().all():
                part, _, name = name.partition(".")
                raise CourseError(
                    f"The weights of {part} hold values that are not numbers ({name}); get or train them again."
                )
        raise CourseError(
            f"The output of {part} is not finite; these weights do not work with these settings: try a lower "
            "guidance, more steps, another sampler or another prediction."
        )

    def _contexts(self, prompt: Text, negative: Text, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return for every picture what was read of its prompt and of what to stay away from: twice (B, N, width)."""
        context, nothing = self.read(prompt), self.read(negative)
        missing = int((context.shape[1] - nothing.shape[1]) / self.config.text.positions)  # chunks of 77 tokens
        if missing:
            empty = self.read("").repeat(1, abs(missing), 1)
            context, nothing = (
                torch.cat([one, empty.expand(len(one), -1, -1)], 1) if more else one
                for one, more in ((context, missing < 0), (nothing, missing > 0))
            )
        if len(nothing) not in (1, len(context)):
            raise CourseError(f"{len(nothing)} negative prompts for {len(context)} prompts: give one, or one for each.")
        return context.repeat_interleave(count, 0), nothing.expand_as(context).repeat_interleave(count, 0)
