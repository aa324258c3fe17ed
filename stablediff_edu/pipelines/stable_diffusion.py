"""Stable Diffusion: text to image.

    pipe = StableDiffusion.from_pretrained("stable-diffusion-v1-5/stable-diffusion-v1-5")
    image = pipe("a blue sofa in a white room", steps=20, guidance=7.5, seed=1)  # (1, 3, 512, 512) in [-1, 1]

A text encoder, a U-Net that predicts the noise in a latent, an autoencoder (Rombach et al., 2021, "High-resolution
image synthesis with latent diffusion models"): with `V1` Stable Diffusion v1, with `TINY` the course's own.
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

from stablediff_edu.config import to_device
from stablediff_edu.diffusion import check_inputs
from stablediff_edu.diffusion.inpainting import InpaintingCondition
from stablediff_edu.diffusion.samplers import SAMPLERS, NoiseLevel, SamplerStep, make_noise_fn, noise_levels, sample
from stablediff_edu.diffusion.schedule import NoiseSchedule
from stablediff_edu.errors import UserError, oom_guard
from stablediff_edu.io.from_pretrained import read_parts
from stablediff_edu.io.save_pretrained import save_diffusers, save_single_file
from stablediff_edu.layers.attention import record_attention
from stablediff_edu.models.autoencoder_kl import AutoencoderKL, VAEConfig
from stablediff_edu.models.clip import CLIPTextConfig, CLIPTextModel
from stablediff_edu.models.unet_2d_condition import ATTENTION, UNet2DConditionModel, UNetConfig
from stablediff_edu.tokenizers.clip_bpe import validate_prompt

Text = str | Sequence[str] | torch.Tensor  # one prompt, several, or what `encode_prompt` returns


@dataclass(frozen=True)
class StableDiffusionConfig:
    """The sizes of the three networks, and how the U-Net was trained; by default Stable Diffusion v1's."""

    text_encoder: CLIPTextConfig = field(default_factory=CLIPTextConfig)
    unet: UNetConfig = field(default_factory=UNetConfig)
    vae: VAEConfig = field(default_factory=VAEConfig)
    prediction: str = "epsilon"  # what the U-Net predicts
    size: int = 512  # side of the images that it was trained on, in pixels
    schedule: str = "scaled_linear"  # which schedule of `NoiseSchedule`

    def __post_init__(self) -> None:
        for name, kind in dict(text_encoder=CLIPTextConfig, unet=UNetConfig, vae=VAEConfig).items():
            if isinstance(sizes := getattr(self, name), dict):  # the metadata of a checkpoint gives a dictionary
                object.__setattr__(self, name, kind(**sizes))


V1 = StableDiffusionConfig()
TINY = StableDiffusionConfig(
    CLIPTextConfig(81, 28, 128, 4, 4),
    UNetConfig(4, 4, (64, 128), 1, (ATTENTION, ATTENTION), num_attention_heads=4, cross_attention_dim=128),
    VAEConfig(3, (16, 32, 64, 128), 1, norm_num_groups=8),
    prediction="v_prediction",
    size=64,
    schedule="cosine",
)

# Where samplers stop: as in diffusers with Stable Diffusion's settings. Those that are not here go from end to end.
DIFFUSERS_SPACING = {"spacing": "leading", "offset": 1}
SAMPLER_SPACING = {
    "ddpm": DIFFUSERS_SPACING,
    "ddim": DIFFUSERS_SPACING | {"to_clean": False},
    "pndm": DIFFUSERS_SPACING | {"to_clean": False},
}
CPU_SLICE_THRESHOLD = 48 * 48  # positions of latents that are decoded at once, to save memory


@dataclass(frozen=True)
class PipelineStep:
    """One sampling step.

    Attributes:
        number, of: 1, 2, … of so many.
        t: the step of the schedule where it began.
        latent: (B, 4, h, w), what the next step goes on with.
        x0: (B, 4, h, w), the predicted clean latent.
        decode: latents to images, for `preview` and `image`.
    """

    number: int
    of: int
    t: float
    latent: torch.Tensor
    x0: torch.Tensor
    decode: Callable[[torch.Tensor], torch.Tensor]

    def preview(self) -> torch.Tensor:
        """Decode the predicted clean latent, blurred at first: (B, 3, H, W). It costs about as much as a step."""
        return self.decode(self.x0)

    def image(self) -> torch.Tensor:
        """Decode the latent with the noise that is left in it, (B, 3, H, W): after the last step, the result."""
        return self.decode(self.latent)


class StableDiffusion(nn.Module):
    """Text encoder, U-Net and autoencoder; `pipe("a red ship")` returns images.

    Args:
        config: `V1`, `TINY`, or other sizes.
        tokenizer: turns a list of sentences into tokens (B, N) int64.
    """

    def __init__(self, config: StableDiffusionConfig = V1, tokenizer: Callable | None = None) -> None:
        super().__init__()
        self.config = config
        self.tokenizer: Any = tokenizer  # may have more than a call, such as `left_out`
        self.schedule: NoiseSchedule = getattr(NoiseSchedule, config.schedule)()
        self.text_encoder = CLIPTextModel(config.text_encoder)
        self.unet = UNet2DConditionModel(config.unet)
        self.vae = AutoencoderKL(config.vae)

    # --- the six steps of the video's checklist -----------------------------------------------------------------------

    @torch.no_grad()
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """1. The autoencoder turns images into latents: (B, 3, H, W) in [-1, 1] -> (B, 4, h, w)."""
        vae = self._vae_in_float32()
        return vae.encode(to_device(images, self._like.device).to(vae.quant_conv.weight)).to(self._dtype)

    def denoise(self, xt, context, uncond, guidance, steps, sampler, seed=0, skip=0) -> Iterator[SamplerStep]:
        """2. The U-Net removes the noise of the latents `xt`, (B, 4, h, w), in many small steps, conditioned on the
        timestep and on `context` and `uncond`, the embeddings (B, N, width) of prompt and negative prompt."""

        def model(xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return self.classifier_free_guidance(xt, t, context, uncond, guidance)

        how = dict(steps=steps, sampler=sampler, prediction=self.config.prediction, **self.sampler_spacing(sampler))
        return sample(model, self.schedule, seed=seed, start=xt, skip=skip, **how)

    @torch.no_grad()
    def encode_prompt(self, prompts: Text) -> torch.Tensor:
        """3. The text encoder turns prompts into contextual token embeddings: (B, N, width).

        A prompt of more than 75 tokens is encoded in chunks of 75, one after the other, and N is 77 times their number.
        """
        if isinstance(prompts, torch.Tensor):
            return prompts.to(self._like)
        sentences = [validate_prompt(text) for text in (prompts if isinstance(prompts, list | tuple) else [prompts])]
        if not sentences:
            raise UserError("There is no prompt; give one.")
        if not self.tokenizer:
            raise UserError("There is no tokenizer; give one to StableDiffusion(config, tokenizer).")
        # (B, N), or (B, n · positions) if they are long
        tokens = to_device(self.tokenizer(sentences), self._like.device)
        rows = tokens.reshape(-1, min(tokens.shape[1], self.config.text_encoder.max_position_embeddings))
        return self._finite("text_encoder", lambda: self.text_encoder(rows)).reshape(*tokens.shape, -1)

    @torch.no_grad()
    def predict_noise(self, xt: torch.Tensor, t: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """4. The U-Net's convolutions take features from the latent, down to small sizes and up again: what is noise?

        (B, 4, h, w), (B,), (B, N, width) -> (B, 4, h, w)
        """

        def compute() -> torch.Tensor:
            return self.unet(xt.to(self._like), t, context.to(self._like))

        # float32 does not overflow, and a check makes the CPU wait for the device: there `decode` finds what is broken
        return (self._finite("unet", compute) if self._like.dtype.itemsize < 4 else compute()).to(xt)

    def cross_attention_maps(self, xt: torch.Tensor, t: torch.Tensor, context: torch.Tensor) -> dict[str, torch.Tensor]:
        """5. The U-Net's cross-attention maps, by the layer's name: (B, heads, h', w', N)."""
        parts = {name: part for name, part in self.unet.named_modules() if name.endswith(".attn2")}
        with ExitStack() as stack:
            seen = {name: stack.enter_context(record_attention(part)) for name, part in parts.items()}
            self.predict_noise(xt, t, context)
        maps = {}
        for name, weights in seen.items():
            height, width = xt.shape[2:]
            while height * width > weights[""].shape[2]:  # it looks from a level further down
                height, width = (height + 1) // 2, (width + 1) // 2
            maps[name] = weights[""].unflatten(2, (height, width))  # (B, heads, h'·w', N) -> (B, heads, h', w', N)
        return maps

    @torch.no_grad()
    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """6. The autoencoder turns latents back into images: (B, 4, h, w) -> (B, 3, H, W) in [-1, 1] on the CPU.

        Raises:
            UserError: the images hold infinity or NaN.
        """
        vae, at_once = self._vae_in_float32(), max(1, CPU_SLICE_THRESHOLD // (z.shape[2] * z.shape[3]))
        parts = z.to(vae.quant_conv.weight).split(at_once)
        return self._finite("vae", lambda: torch.cat([vae.decode(part).cpu() for part in parts])).clamp(-1, 1)

    # --- all in one call ----------------------------------------------------------------------------------------------

    def forward(self, prompt: Text, negative: Text = "", **more) -> torch.Tensor:
        """Return images (B, 3, H, W) in [-1, 1]; `stream` has the same arguments and also yields every step."""
        return deque(self.stream(prompt, negative, **more), maxlen=1)[0].image()

    def stream(
        self, prompt: Text, negative: Text = "", *, steps: int = 20, guidance: float = 7.5, sampler: str = "dpmpp_2m",
        seed: int | torch.Generator = 0, size: check_inputs.Size | None = None, count: int = 1,
        image: torch.Tensor | None = None, strength: float | None = None, mask: torch.Tensor | None = None,
    ) -> Iterator[PipelineStep]:  # fmt: skip
        """Generate, and yield every sampling step.

        Args:
            prompt: what to generate; a list makes one batch. Or the output of `encode_prompt`, changed as you like.
            negative: the negative prompt: one for all prompts, or one for each.
            guidance: the guidance scale; 1: conditional prediction, 0: unconditional.
            seed: of all noise; image i of a seed is the same in every batch.
            sampler: one of SAMPLERS.
            size: of the images in pixels; by default the image's, or what the model was trained on.
            count: images of each prompt; they stand side by side in the batch.
            image: begin with this, (3, H, W) in [-1, 1] or one for each prompt.
            strength: the share of the steps to run, more than 0 up to 1; by default 0.8, with a mask 1.
            mask: (H, W), or (B, 1, H, W): 1 where the image is generated again, 0 where it stays.

        Raises:
            UserError: something of this does not go, or needs more memory than there is; the sentence says why.
        """
        check_inputs.check_inputs(count, guidance, seed)
        check_inputs.check_image(image, strength, mask)
        stops = noise_levels(self.schedule, steps, sampler, **self.sampler_spacing(sampler))
        default, shrink = (self.config.size if image is None else image.shape[-2:]), self.config.vae.shrink
        height, width = check_inputs.check_size(default if size is None else size, shrink, image)
        skip = 0 if image is None else check_inputs.get_start_step(steps, strength, mask)
        with oom_guard():
            context, uncond = self._encode_prompts(prompt, negative, count)
            latents = torch.empty(len(context), self.config.vae.latent_channels, height // shrink, width // shrink)
            eps = make_noise_fn(seed, latents.to(self._like.device, self._dtype))()
            original = None if image is None else InpaintingCondition(image, mask, len(context), count, self.encode)
        if original and skip:
            xt = original.add_noise(stops[skip], eps)
        else:  # for samplers that count in σ, noise alone is σ · eps
            xt = stops[0].noise * eps if SAMPLERS[sampler][1] == "between" else eps
        fresh = seed if isinstance(seed, torch.Generator) else -1 - seed  # the steps' noise must not be eps once more
        way = self.denoise(xt, context, uncond, guidance, steps, sampler, fresh, skip)
        return self._stream(way, stops[skip:], original, eps)

    def _stream(
        self, way: Iterator[SamplerStep], stops: list[NoiseLevel], original: InpaintingCondition | None, eps
    ) -> Iterator[PipelineStep]:
        """Go the way, putting back after each step what is to stay of the original."""

        def decode(z: torch.Tensor) -> torch.Tensor:
            with oom_guard():
                return original.composite(self.decode(z)) if original else self.decode(z)

        with oom_guard():
            for step in way:
                if original:  # the sampler goes on from this very tensor
                    original.blend_known_region(step.next, stops[step.number], eps)
                yield PipelineStep(step.number, len(stops) - 1, step.t, step.next, step.x0, decode)

    def classifier_free_guidance(self, xt, t, context, uncond, guidance: float) -> torch.Tensor:
        """Predict with and without the prompt, and extrapolate from the one to the other, where guidance > 1.

        uncond + guidance · (cond - uncond) (Ho and Salimans, 2022, "Classifier-free diffusion guidance").
        """
        if guidance in (0, 1):
            return self.predict_noise(xt, t, context if guidance else uncond)
        both = self.predict_noise(torch.cat([xt, xt]), torch.cat([t, t]), torch.cat([uncond, context]))
        without, there = both.chunk(2)
        return without + guidance * (there - without)

    def sampler_spacing(self, sampler: str) -> dict[str, Any]:
        """Return where the sampler stops, as arguments of `noise_levels`: as diffusers does with the same schedule."""
        return SAMPLER_SPACING.get(sampler, {"spacing": "linspace"}) if self.config.schedule == "scaled_linear" else {}

    # --- weights ------------------------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls, source: str | Path, half: bool = False, tokenizer: Callable | None = None, prediction: str | None = None
    ) -> "StableDiffusion":
        """Return the model of a folder, a file, or a name on the Hub (see `read_parts`), in half precision on request.

        Args:
            tokenizer: instead of the one that lies in the folder or beside the file.
            prediction: what the U-Net predicts, where the file does not say: "epsilon", "v_prediction" or "sample".

        Raises:
            UserError: they are missing, broken or another model's, or the memory does not suffice.
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
        return (save_single_file if Path(path).suffix else save_diffusers)(path, self, half)

    @property
    def _like(self) -> torch.Tensor:
        """A tensor of the weights' precision, where they are."""
        return self.unet.conv_out.weight

    @property
    def _dtype(self) -> torch.dtype:
        """What is computed between the networks: at least single precision, also where their weights are half."""
        return torch.promote_types(self._like.dtype, torch.float32)

    def _vae_in_float32(self) -> AutoencoderKL:
        """Return the autoencoder, in single precision at least: in half precision some weights give black images."""
        return self.vae.float() if self.vae.quant_conv.weight.dtype.itemsize < 4 else self.vae

    def _finite(self, part: str, compute: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Compute with a network; where half precision overflows, once more in single precision.

        Raises:
            UserError: the values are not finite in single precision either.
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
                raise UserError(
                    f"The weights of {part} hold values that are not numbers ({name}); get or train them again."
                )
        raise UserError(
            f"The output of {part} is not finite; these weights do not work with these settings: try a lower "
            "guidance, more steps, another sampler or another prediction."
        )

    def _encode_prompts(self, prompt: Text, negative: Text, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return for every image the embeddings of its prompt and its negative prompt: twice (B, N, width)."""
        context, uncond = self.encode_prompt(prompt), self.encode_prompt(negative)
        missing = int(
            (context.shape[1] - uncond.shape[1]) / self.config.text_encoder.max_position_embeddings
        )  # chunks of 77 tokens
        if missing:
            empty = self.encode_prompt("").repeat(1, abs(missing), 1)
            context, uncond = (
                torch.cat([one, empty.expand(len(one), -1, -1)], 1) if more else one
                for one, more in ((context, missing < 0), (uncond, missing > 0))
            )
        if len(uncond) not in (1, len(context)):
            raise UserError(f"{len(uncond)} negative prompts for {len(context)} prompts: give one, or one for each.")
        return context.repeat_interleave(count, 0), uncond.expand_as(context).repeat_interleave(count, 0)
