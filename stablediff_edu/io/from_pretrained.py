"""Stable Diffusion's weights from anywhere: a diffusers folder, the same from the Hub, or CompVis' single file.

One part is read at a time, and a tensor leaves its file only when it is needed, so that the U-Net is never in memory
twice. Every tensor must have its place and every position its tensor, or the error names those that have none: a
network with a few random layers draws images too, and nobody sees why they are bad.
"""

import json
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Collection
from functools import cache
from pathlib import Path

import torch

from stablediff_edu.errors import UserError, oom_guard
from stablediff_edu.io import checkpoint, hub
from stablediff_edu.io.diffusers_config import V1_NAME, Json, check_config, check_kind, from_json, from_shapes, inputs
from stablediff_edu.io.key_mapping import MODELS, PREFIXES, key_map, state_dict_shapes
from stablediff_edu.io.tensor_files import TensorFile
from stablediff_edu.models.autoencoder_kl import VAEConfig
from stablediff_edu.models.clip import CLIPTextConfig
from stablediff_edu.models.unet_2d_condition import UNetConfig
from stablediff_edu.tokenizers.clip_bpe import CLIP_SHA256, CLIPTokenizer, vocabulary_sha256
from stablediff_edu.tokenizers.word_files import load_word_tokenizer
from stablediff_edu.tokenizers.words import WordTokenizer

KINDS = {"text_encoder": CLIPTextConfig, "unet": UNetConfig, "vae": VAEConfig}
METADATA_KEY = "stablediff_edu"  # under this name our single files tell the sizes, which not all follow from shapes
CONFIG_FILES = [f"{part}/config.json" for part in MODELS] + ["scheduler/scheduler_config.json"]
WORDS = ["vocab.json", "merges.txt"]
TOKENIZER = [f"tokenizer/{name}" for name in (*WORDS, "tokenizer.json", "added_tokens.json", "tokenizer_config.json")]
ENDINGS = (".safetensors", ".ckpt")
CLIP_TOKENS = 49_408  # of CLIP's own vocabulary, which all models but the course's own have
CLIP_NAME = "openai/clip-vit-large-patch14"  # has it on the Hub, 1.6 MB

# What trainings leave beside the weights; it changes no image: EMA copies, losses, schedules, and the rest of CLIP
BALLAST = re.compile(
    r"(^|\.)(position_ids|logit_scale|text_projection(\.weight)?|loss\..+|vision_model\..+|visual_projection\..+)$"
    r"|(^|[._])ema([._]|$)|^(denoiser\.|\w+_cumprod|\w*alphas\w*|betas|posterior_|log\w*$|lvlb_weights|scale_factor)"
    r"|^(v_pred|ztsnr|global_step|cond_stage_model\.\w+)$"
)


class PretrainedParts:
    """The weights of the three networks where they lie, not yet read.

    Attributes:
        config: the arguments of `StableDiffusionConfig`: text_encoder, unet, vae, prediction, schedule, size.

    A single file has no place for a tokenizer: it is looked for in a folder `tokenizer` beside it.
    """

    def __init__(
        self, layout: str, files: dict[str, list[TensorFile]], config: Json, tokenizer: Path, half: bool = False
    ) -> None:
        self._layout, self._files, self._half = layout, files, half
        self.config, self._tokenizer = config, tokenizer

    def tokenizer(self) -> CLIPTokenizer | WordTokenizer:
        """Return the tokenizer of the folder, or the one beside the file, or else CLIP's own.

        Raises:
            UserError: there is none, it is broken, or it has more tokens than the text encoder.
        """
        sizes, whole = self.config["text_encoder"], self._tokenizer / "tokenizer.json"
        words = whole.is_file() and load_word_tokenizer(
            read_json(whole).get("model", {}), sizes.max_position_embeddings
        )
        if words:
            found: CLIPTokenizer | WordTokenizer = words
        else:
            files = tokenizer_files(self._tokenizer) or tokenizer_files(self._tokenizer.parent)
            added = added_tokens(self._tokenizer) if files else []
            files = files or clip_files(self._tokenizer, sizes.vocab_size)
            found = CLIPTokenizer(*files, sizes.max_position_embeddings, added)
        if len(found) != sizes.vocab_size and (words or len(found) > sizes.vocab_size):
            raise UserError(
                f"{whole if words else self._tokenizer} has {len(found)} tokens and the text encoder "
                f"{sizes.vocab_size}; get the tokenizer that belongs to these weights."
            )
        return found

    def weights(self, part: str) -> dict[str, torch.Tensor]:
        """Read "text_encoder", "unet" or "vae": our names -> tensors, in single or half precision.

        Tensors that have this precision in the file stay there: the system reads them when they are first used.

        Raises:
            UserError: a tensor is missing, or too many, or of another shape; or the memory does not suffice.
        """
        config, source = self.config[part], self._files[part][0].path
        own, called = state_dict_shapes(part, config), key_map(self._layout, part, config)
        wanted = {normalize_key(part, theirs): (ours, theirs) for ours, theirs in called.items()}
        stored: dict[str, list[tuple[TensorFile, str]]] = {}
        for file in self._files[part]:
            for name in file.shapes:
                if name.startswith(PREFIXES[part] if self._layout == "compvis" else "") and not BALLAST.search(name):
                    stored.setdefault(normalize_key(part, name), []).append((file, name))
        both = wanted.keys() & stored.keys()
        problems = {
            "it lacks": [wanted[name][1] for name in wanted.keys() - both],
            "it has besides": [stored[name][0][1] for name in stored.keys() - both],
            "it has twice": [stored[name][0][1] for name in both if len(stored[name]) > 1],
            "of another shape": [
                file_name
                for name in both
                for file, file_name in stored[name]
                if not shapes_match(file.shapes[file_name], own[wanted[name][0]])
            ],
        }
        if any(problems.values()):
            said = "; ".join(f"{problem}: {summarize(keys)}" for problem, keys in problems.items() if keys)
            raise UserError(f"{source} does not fit Stable Diffusion 1's {part} ({said}); get the weights again.")
        with oom_guard(f" for {source}; close other programs, or load it with half=True."):
            found = {}
            for key, (ours, _) in wanted.items():
                file, name = stored[key][0]
                found[ours] = file[name].to(torch.float16 if self._half else torch.float32).reshape(own[ours])
            return found


def read_parts(source: str | Path, half: bool = False) -> PretrainedParts:
    """Open weights of Stable Diffusion 1.

    Args:
        source: a folder in diffusers' layout; a .safetensors or .ckpt file in CompVis' layout; a folder that holds one
            of these; or, if there is nothing of that name here, "owner/name", "owner/name@revision", "owner/name/file"
            or a web address on the Hub, from where only what is needed is downloaded, once.
        half: give half precision, which takes half the memory, and fetch the half-size files where there are any.

    Raises:
        UserError: there is nothing there, or something else; the sentence says what.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        path = model_in(path)
    if path.is_file():
        return read_file(path, half)
    if path.is_dir():
        found = [file.relative_to(path).as_posix() for pattern in ("*", "*/*") for file in path.glob(pattern)]
        return read_folder(str(path), found, lambda _: path, half)
    if address := hub.parse(str(source)):
        listed, fetch = hub.list_repo_files(address)
        singles = [name for name in listed if "/" not in name and name.endswith(ENDINGS)]
        if address.file or (CONFIG_FILES[1] not in listed and len(singles) == 1):
            file = address.file or singles[0]
            return read_file(fetch([file]) / file, half)
        if CONFIG_FILES[1] not in listed and singles:
            raise UserError(
                f"{address.name} holds several single files ({summarize(singles)}); name one: "
                f"{address.name}/{singles[0]}."
            )
        return read_folder(str(source), listed, fetch, half)
    raise UserError(
        f"There is nothing at {source}; give a folder or a file of weights that is there, or a name on the Hub such as "
        f"{V1_NAME}."
    )


def model_in(folder: Path) -> Path:
    """Return the model in a folder: the folder itself, what the Hub's library keeps in it, or the one model in it."""
    if any((folder / name).exists() for name in (*CONFIG_FILES, "unet", "model_index.json")):
        return folder
    if (kept := folder / "refs" / "main").is_file():
        return model_in(folder / "snapshots" / kept.read_text(encoding="utf-8").strip())
    below = [file.parents[1] for pattern in ("*", "*/*") for file in folder.glob(f"{pattern}/unet/config.json")]
    found = sorted(below) + sorted(file for file in folder.glob("*") if file.suffix in ENDINGS)
    if len(found) > 1:
        raise UserError(f"{folder} holds {len(found)} models; name one of them, such as {found[0]}.")
    return found[0] if found else folder


# --- a diffusers folder -----------------------------------------------------------------------------------------------


def read_folder(source: str, found: Collection[str], fetch: Callable[[list[str]], Path], half: bool) -> PretrainedParts:
    """Open a diffusers folder whose files are `found`; `fetch` makes some of them be here and says where they are."""
    if missing := [name for name in CONFIG_FILES if name not in found]:
        seen = ", ".join(sorted({name.partition("/")[0] for name in found})[:9]) or "nothing"
        raise UserError(
            f"{source} lacks {summarize(missing)}; it is no whole folder of Stable Diffusion 1 in diffusers' layout "
            f"(there "
            f"is: {seen}); get it again."
        )
    folder = fetch(CONFIG_FILES + [name for name in TOKENIZER if name in found])
    config = from_json(source, *(read_json(folder / name) for name in CONFIG_FILES))  # complains before gigabytes come
    files = {part: tensor_files(source, part, found, half) for part in MODELS}
    fetch([name for some_files in files.values() for name in some_files])
    opened = {part: [TensorFile(folder / name) for name in files[part]] for part in MODELS}
    return PretrainedParts("diffusers", opened, config, folder / "tokenizer", half)


def tensor_files(source: str, part: str, found: Collection[str], half: bool) -> list[str]:
    """Choose the files that hold a part: whole before lacking, the wanted precision, safetensors before pickles."""
    pattern = re.compile(
        rf"{part}/(?:diffusion_pytorch_model|pytorch_model|model)(?:\.(\w+?))??(?:-\d+-of-(\d+))?(?:\.(\w+?))??"
        r"\.(safetensors|bin)"
    )
    sets: dict[tuple, list[str]] = {}
    for name in sorted(found):
        if match := pattern.fullmatch(name):
            before, shards, after, ending = match.groups()
            sets.setdefault((before or after or "", ending, int(shards or 1)), []).append(name)
    whole = {key: names for key, names in sets.items() if len(names) == key[2]}
    if not whole:
        raise UserError(f"{source} lacks the weights of {part} ({part}/*.safetensors); get the folder again, whole.")
    order = ["fp16", "", "bf16"] if half else ["", "fp16", "bf16"]
    return whole[min(whole, key=lambda key: (key[1] == "bin", (*order, key[0]).index(key[0]), key))]


def read_json(path: Path) -> Json:
    """Read an object from a JSON file, or raise UserError."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); get the folder again.") from error
    if not isinstance(found, dict):
        raise UserError(f"{path} holds no settings; get the folder again.")
    return found


def tokenizer_files(folder: Path) -> tuple[Path, Path] | None:
    """Return vocab.json and merges.txt of a folder, taken out of tokenizer.json where newer files have only that."""
    if not (folder / "vocab.json").is_file() and (folder / "tokenizer.json").is_file():
        whole = folder / "tokenizer.json"
        try:
            model = read_json(whole)["model"]
            pairs = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
            vocabulary = json.dumps(model["vocab"])
        except (KeyError, TypeError) as error:
            raise UserError(f"{whole} is no tokenizer of CLIP's kind; get the folder again.") from error
        folder = Path(tempfile.mkdtemp(dir=temporary_folder().name))
        (folder / "vocab.json").write_text(vocabulary, encoding="utf-8")
        (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *pairs, ""]), encoding="utf-8")
    files = folder / "vocab.json", folder / "merges.txt"
    return files if all(file.is_file() for file in files) else None


def added_tokens(folder: Path) -> list[Json]:
    """Return the tokens that a tokenizer was given besides its vocabulary, each with its "id" and "content"."""
    for name, entry in {"tokenizer.json": "added_tokens", "tokenizer_config.json": "added_tokens_decoder"}.items():
        found = read_json(folder / name).get(entry) if (folder / name).is_file() else None
        if isinstance(found, dict):  # number -> token
            found = [token | {"id": int(number)} for number, token in found.items()]
        if found:
            return sorted(found, key=lambda token: token["id"])
    older = folder / "added_tokens.json"  # token -> number
    found = read_json(older) if older.is_file() else {}
    return [{"id": number, "content": token} for token, number in sorted(found.items(), key=lambda pair: pair[1])]


def clip_files(beside: Path, vocabulary: int) -> tuple[Path, Path]:
    """Return CLIP's own vocabulary: from data/clip, from an earlier download, or fetched from the Hub."""
    own = Path(os.environ.get("STABLEDIFF_DATA", "").strip() or checkpoint.PRETRAINED.parent).expanduser() / "clip"
    reason = ""
    try:
        if vocabulary == CLIP_TOKENS:
            if files := tokenizer_files(own):
                return files
            files = tokenizer_files(hub.download_files(hub.Address(CLIP_NAME), dict.fromkeys(WORDS, 800_000)))
            if files and vocabulary_sha256(*files) == CLIP_SHA256:
                return files
            reason = " (what the Hub sent is not CLIP's vocabulary)"
    except UserError as error:
        reason = f" ({str(error).removesuffix('.')})"
    raise UserError(
        f"There is no tokenizer{reason}: put vocab.json and merges.txt, such as those of "
        f"https://huggingface.co/{CLIP_NAME}, into the folder {beside}."
    )


# --- the single file --------------------------------------------------------------------------------------------------


def read_file(path: Path, half: bool) -> PretrainedParts:
    """Open a single file in CompVis' layout; what else is in it, such as the training's EMA copy, is left alone."""
    file = TensorFile(path)
    if any("lora" in name.lower() for name in file.shapes):
        raise UserError(
            f"{path.name} holds a LoRA, which changes a model, and no model; give the weights of a whole one, such as "
            f"{V1_NAME}."
        )
    found = inputs(file.shapes)
    check_kind(path.name, found)
    if missing := [part for part in MODELS if not any(name.startswith(PREFIXES[part]) for name in file.shapes)]:
        raise UserError(
            f"{path.name} is no whole Stable Diffusion 1: it has no {' and no '.join(missing)} (one of its tensors is "
            f"{min(file.shapes, default='none')}); give what has all parts, such as {V1_NAME}."
        )
    try:
        if METADATA_KEY in file.note:
            note = json.loads(file.note[METADATA_KEY])
            config = note | {name: kind(**note[name]) for name, kind in KINDS.items()}
        else:
            config = from_shapes({normalize_key("text_encoder", name): shape for name, shape in file.shapes.items()})
            told = file.note.get("modelspec.prediction_type", "")  # what many trainers write down
            config["prediction"] = "v_prediction" if "v_pred" in file.shapes or told.startswith("v") else "epsilon"
            config["schedule"] = "scaled_linear_zero_snr" if "ztsnr" in file.shapes else "scaled_linear"
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise UserError(f"{path.name} is not whole: it lacks {error}; download it again.") from error
    prefixes = tuple(PREFIXES.values())
    if others := [name for name in file.shapes if not name.startswith(prefixes) and not BALLAST.search(name)]:
        warnings.warn(
            f"{path.name} also holds {summarize(others)}, which Stable Diffusion 1 does not use.", stacklevel=4
        )
    return PretrainedParts(
        "compvis", {part: [file] for part in MODELS}, check_config(path.name, config), path.parent / "tokenizer", half
    )


# --- small parts ------------------------------------------------------------------------------------------------------


@cache
def temporary_folder() -> tempfile.TemporaryDirectory:
    """Return a folder that lives as long as Python does."""
    return tempfile.TemporaryDirectory(prefix="stablediff_edu-")


def normalize_key(part: str, name: str) -> str:
    """Return the name as it is spelled today: older and newest files differ, and some mix both."""
    if part == "text_encoder":  # transformers 5 leaves text_model out
        return re.sub(r"(^|transformer\.)(embeddings|encoder|final_layer_norm)\.", r"\1text_model.\2.", name)
    if part == "vae":
        name = re.sub(r"(attn_1|attentions\.0)\.(?:to_)?([qkv])(?:uery|ey|alue)?\.", r"\1.to_\2.", name)
        name = re.sub(r"(attn_1|attentions\.0)\.(?:proj_out|proj_attn|to_out(?:\.0)?)\.", r"\1.to_out.0.", name)
        name = re.sub(r"(attn_1|attentions\.0)\.(?:group_)?norm\.", r"\1.group_norm.", name)
    return name


def shapes_match(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Compare shapes; a 1×1 convolution (A, B, 1, 1) and a linear layer (A, B) are the same."""
    return found == tuple(wanted) or (found[:2] == tuple(wanted)[:2] and set(found[2:] + tuple(wanted)[2:]) == {1})


def summarize(keys: Collection[str]) -> str:
    """Name the first two of some keys, and say how many more there are."""
    first, more = sorted(keys)[:2], len(keys) - 2
    return ", ".join(first) + (f" and {more} more" if more > 0 else "")
