"""Saving Stable Diffusion in the two published layouts: diffusers' folder, and CompVis' single file.

Everything is written under another name and then renamed, so that an interrupted save leaves what stood there before.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from stablediff_edu.errors import UserError
from stablediff_edu.io.checkpoint import atomic_write
from stablediff_edu.io.diffusers_config import Json, scheduler_json, text_json, unet_json, vae_json
from stablediff_edu.io.from_pretrained import METADATA_KEY
from stablediff_edu.io.key_mapping import MODELS, key_map
from stablediff_edu.tokenizers.clip_bpe import BOS, EOS, CLIPTokenizer
from stablediff_edu.tokenizers.word_files import save_word_tokenizer
from stablediff_edu.tokenizers.words import WordTokenizer

if TYPE_CHECKING:
    from stablediff_edu.pipelines.stable_diffusion import StableDiffusion

Tensors = dict[str, torch.Tensor]
LIBRARIES = {
    "scheduler": ("diffusers", "PNDMScheduler"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "tokenizer": ("transformers", "CLIPTokenizer"),
    "unet": ("diffusers", "UNet2DConditionModel"),
    "vae": ("diffusers", "AutoencoderKL"),
}
WRITTEN = (
    r"model_index.json|scheduler/.+|tokenizer/.+|(text_encoder|unet|vae)/(config.json|[\w.]+.safetensors)"
    r"|training.json|samples.png"  # of a training on your own images
)
NO_COMPONENTS = dict.fromkeys(("feature_extractor", "image_encoder", "safety_checker"), (None, None))  # there are none


def save_diffusers(path: str | Path, model: "StableDiffusion", half: bool = False) -> Path:
    """Write the model as a folder that `diffusers.StableDiffusionPipeline.from_pretrained` loads, and return it.

    Args:
        path: a new folder, or one that holds such a model, which is replaced.
        model: its tokenizer goes along.
        half: store half precision, else single.

    Raises:
        UserError: there is other work in the folder, or the disk is full or forbidden; what was there is still there.
    """
    folder, config = Path(path).expanduser(), model.config
    latent = config.size // config.vae.shrink
    settings = {
        "text_encoder": text_json(config.text_encoder),
        "unet": unet_json(config.unet, latent),
        "vae": vae_json(config.vae, config.size),
    }
    vocabulary = getattr(model.tokenizer, "files", None)
    if vocabulary:
        tokenizer = model.tokenizer
        settings["text_encoder"] |= {"bos_token_id": tokenizer.start} | dict.fromkeys(
            ("eos_token_id", "pad_token_id"), tokenizer.end
        )
    words = isinstance(model.tokenizer, WordTokenizer)
    parts = {part: where for part, where in LIBRARIES.items() if part != "tokenizer" or vocabulary}
    if words:
        parts["tokenizer"] = ("transformers", "PreTrainedTokenizerFast")
    scheduler = scheduler_json(config.schedule, config.prediction)
    parts["scheduler"] = ("diffusers", scheduler["_class_name"])
    index = {"_class_name": "StableDiffusionPipeline", "requires_safety_checker": False, **NO_COMPONENTS, **parts}
    with replacing_folder(folder, bytes_of(model, half)) as new:
        write_json(new / "model_index.json", index)
        write_json(new / "scheduler/scheduler_config.json", scheduler)
        for part in MODELS:
            write_json(new / part / "config.json", settings[part])
            stem = "model" if part == "text_encoder" else "diffusion_pytorch_model"
            write_tensors(new / part / f"{stem}.safetensors", export_state_dict("diffusers", part, model, half), {})
        if vocabulary:
            write_tokenizer(new / "tokenizer", model.tokenizer)
        elif words:
            save_word_tokenizer(new / "tokenizer", model.tokenizer)
    return folder


def save_single_file(path: str | Path, model: "StableDiffusion", half: bool = False) -> Path:
    """Write the three networks into a single .safetensors file in CompVis' layout, and return it.

    Our own note in it tells the sizes that do not follow from the tensors' shapes. There is no place for a tokenizer.

    Raises:
        UserError: the name ends otherwise, or the disk is full or forbidden; what was there is still there.
    """
    path = Path(path).expanduser()
    if path.suffix != ".safetensors":
        raise UserError(f"{path.name} must end in .safetensors, or in nothing for a folder; choose such a name.")
    with atomic_write(path) as temporary:
        check_space(path, bytes_of(model, half))
        tensors = {
            name: tensor for part in MODELS for name, tensor in export_state_dict("compvis", part, model, half).items()
        }
        write_tensors(Path(temporary), tensors, {METADATA_KEY: json.dumps(asdict(model.config))})
    return path


def export_state_dict(layout: str, part: str, model: "StableDiffusion", half: bool) -> Tensors:
    """Return a part's tensors as they are stored: their names, and in the precision that is asked for."""
    network = getattr(model, part)
    tensors, kind = network.state_dict(), torch.float16 if half else torch.float32
    found = {}
    for ours, theirs in key_map(layout, part, network.config).items():
        tensor = tensors[ours].detach().to("cpu", kind).contiguous()
        if layout == "compvis" and part == "vae" and ".attentions.0.to_" in ours and tensor.ndim == 2:
            tensor = tensor[..., None, None]  # there the autoencoder's linear layers are 1×1 convolutions
        found[theirs] = tensor
    return found


def write_tensors(path: Path, tensors: Tensors, note: dict[str, str]) -> None:
    """Write a safetensors file that everybody may read; "pt" is what transformers asks for."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(tensors, path, {"format": "pt"} | note)
    except SafetensorError as error:  # it words the disk's errors itself
        raise OSError(str(error)) from error
    path.chmod(0o644)


def write_json(path: Path, content: Json) -> None:
    """Write an object, the folders above it included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_tokenizer(folder: Path, tokenizer: CLIPTokenizer) -> None:
    """Write CLIP's tokenizer: its two files, its added tokens, and what else transformers asks for."""
    special = {"bos_token": BOS, **dict.fromkeys(("eos_token", "pad_token", "unk_token"), EOS)}
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": tokenizer.length} | special
    if tokenizer.added:
        settings["added_tokens_decoder"] = {str(token["id"]): token for token in tokenizer.added}
        write_json(folder / "added_tokens.json", {token["content"]: token["id"] for token in tokenizer.added})
    write_json(folder / "tokenizer_config.json", settings)
    write_json(folder / "special_tokens_map.json", special)
    for file, name in zip(tokenizer.files, ("vocab.json", "merges.txt"), strict=True):
        shutil.copyfile(file, folder / name)


def bytes_of(model: "StableDiffusion", half: bool) -> int:
    """Return how much space the weights take."""
    return sum(tensor.numel() for tensor in model.state_dict().values()) * (2 if half else 4)


def check_space(path: Path, needed: int) -> None:
    """Raise UserError if the disk has less than `needed` bytes."""
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise UserError(
            f"The disk is too full: {path.name} needs {needed / 1e9:.2f} GB, and only {free / 1e9:.2f} GB are free; "
            "free some space, or store half precision."
        )


def list_files(folder: Path) -> list[str]:
    """Return the files in a folder and below; "." if it is a file itself."""
    if folder.is_file():
        return ["."]
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if not file.is_dir())


def check_replaceable(folder: Path) -> None:
    """Raise UserError if a folder holds anything but a saved model."""
    if others := [name for name in list_files(folder) if not re.fullmatch(WRITTEN, name)]:
        raise UserError(
            f"{folder} holds other files, such as {others[0]}; choose another folder, so that nothing is lost."
        )


@contextmanager
def replacing_folder(folder: Path, needed: int) -> Iterator[Path]:
    """Give a new folder to fill, of about `needed` bytes; it takes the old one's place only if all went well."""
    check_replaceable(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as place:
            new, old = Path(place) / "new", Path(place) / "old"
            new.mkdir()
            check_space(folder, needed)
            yield new
            if folder.exists():
                folder.rename(old)
            try:
                new.rename(folder)
            except OSError:
                if old.exists():
                    old.rename(folder)
                raise
    except OSError as error:
        raise UserError(
            f"Cannot write {folder} ({error.strerror or error}); free some space or choose another folder."
        ) from error
