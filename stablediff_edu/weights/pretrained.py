"""Stable Diffusion's weights from anywhere: a diffusers folder, the same from the Hub, or CompVis' single file.

One part is read at a time, and a tensor leaves its file only when it is needed, so that the U-Net is never in memory
twice. Every tensor must have its place and every place its tensor, or the error names those that have none: a network
with a few random layers draws pictures too, and nobody sees why they are bad.
"""

import json
import re
import tempfile
from collections.abc import Callable, Collection
from functools import cache
from pathlib import Path

import torch

from stablediff_edu.errors import CourseError, enough_memory
from stablediff_edu.models.clip import TextConfig
from stablediff_edu.models.conditional_unet import UNetConfig
from stablediff_edu.models.vae import VAEConfig
from stablediff_edu.tokenizers.clip_bpe import BytePairTokenizer
from stablediff_edu.tokenizers.word_files import load_word_tokenizer
from stablediff_edu.tokenizers.words import WordTokenizer
from stablediff_edu.weights import hub
from stablediff_edu.weights.layouts import MODELS, PREFIXES, names, shapes
from stablediff_edu.weights.part_configs import V1_NAME, Json, checked, from_json, from_shapes, not_v1
from stablediff_edu.weights.tensor_files import TensorFile

CONFIGS = {"text_encoder": "text", "unet": "unet", "vae": "vae"}  # part -> its name in StableDiffusionConfig
KINDS = {"text": TextConfig, "unet": UNetConfig, "vae": VAEConfig}
NOTE = "stablediff_edu"  # under this name our single files tell the sizes, which not all follow from shapes
SETTINGS = [f"{part}/config.json" for part in MODELS] + ["scheduler/scheduler_config.json"]
TOKENIZER = ["tokenizer/vocab.json", "tokenizer/merges.txt", "tokenizer/tokenizer.json"]


class Parts:
    """The weights of the three networks where they lie, not yet read.

    Attributes:
        config: the arguments of `StableDiffusionConfig`: text, unet, vae, prediction, schedule, size.

    A single file has no place for a tokenizer: it is looked for in a folder `tokenizer` beside it.
    """

    def __init__(
        self, layout: str, files: dict[str, list[TensorFile]], config: Json, tokenizer: Path, half: bool = False
    ) -> None:
        self._layout, self._files, self._half = layout, files, half
        self.config, self._tokenizer = config, tokenizer

    def tokenizer(self) -> BytePairTokenizer | WordTokenizer | None:
        """Return CLIP's tokenizer, or the course's own; None where there is none."""
        length, whole = self.config["text"].positions, self._tokenizer / "tokenizer.json"
        if whole.is_file() and (words := load_word_tokenizer(read_json(whole).get("model", {}), length)):
            if len(words) != self.config["text"].vocabulary:
                raise CourseError(
                    f"{whole} has {len(words)} tokens and the text encoder {self.config['text'].vocabulary}; get the "
                    "folder again."
                )
            return words
        files = tokenizer_files(self._tokenizer)
        return BytePairTokenizer(*files, length) if files else None

    def weights(self, part: str) -> dict[str, torch.Tensor]:
        """Read "text_encoder", "unet" or "vae": our names -> tensors, in single or half precision.

        Tensors that have this precision in the file stay there: the system reads them when they are first used.

        Raises:
            CourseError: a tensor is missing, or too many, or of another shape; or the memory does not suffice.
        """
        stored = {
            modern(part, name): (file, name)
            for file in self._files[part]
            for name in file.shapes
            if belongs(name, part, self._layout)
        }
        config, source = self.config[CONFIGS[part]], self._files[part][0].path
        wanted, own = names(self._layout, part, config), shapes(part, config)
        problems = {"it lacks": wanted.values() - stored.keys(), "it has besides": stored.keys() - wanted.values()}
        problems["of another shape"] = {
            theirs
            for ours, theirs in wanted.items()
            if theirs in stored and not fits(stored[theirs][0].shapes[stored[theirs][1]], own[ours])
        }
        if any(problems.values()):
            said = "; ".join(f"{problem}: {some(keys)}" for problem, keys in problems.items() if keys)
            raise CourseError(f"{source} does not fit Stable Diffusion 1's {part} ({said}); get the weights again.")
        with enough_memory(f" for {source}; close other programs, or load it with half=True."):
            found = {}
            for ours, theirs in wanted.items():
                file, name = stored[theirs]
                found[ours] = file[name].to(torch.float16 if self._half else torch.float32).reshape(own[ours])
            return found


def read_parts(source: str | Path, half: bool = False) -> Parts:
    """Open weights of Stable Diffusion 1.

    Args:
        source: a folder in diffusers' layout; a .safetensors or .ckpt file in CompVis' layout; or, if there is nothing
            of that name here, "owner/name" on the Hub, from where only what is needed is downloaded, once.
        half: give half precision, which takes half the memory, and fetch the half-size files where there are any.

    Raises:
        CourseError: there is nothing there, or something else; the sentence says what.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return read_file(path, half)
    if path.is_dir():
        found = [file.relative_to(path).as_posix() for pattern in ("*", "*/*") for file in path.glob(pattern)]
        return read_folder(str(source), found, lambda _: path, half)
    if hub.is_name(str(source)):
        listed, fetch = hub.look_up(str(source))
        return read_folder(str(source), listed, fetch, half)
    raise CourseError(
        f"There is nothing at {source}; give a folder or a file of weights that is there, or a name on the Hub such as "
        f"{V1_NAME}."
    )


# --- a diffusers folder -----------------------------------------------------------------------------------------------


def read_folder(source: str, found: Collection[str], fetch: Callable[[list[str]], Path], half: bool) -> Parts:
    """Open a diffusers folder whose files are `found`; `fetch` makes some of them be here and says where they are."""
    if any(name.startswith("text_encoder_2/") for name in found):
        raise not_v1(source, "Stable Diffusion XL or later", "has a second text encoder")
    if any(name.startswith("transformer/") for name in found):
        raise not_v1(source, "another model's", "has a transformer in place of the U-Net")
    if missing := [name for name in SETTINGS if name not in found]:
        raise CourseError(f"{source} lacks {some(missing)}; it is no whole folder in diffusers' layout: get it again.")
    files = {part: tensor_files(source, part, found, half) for part in MODELS}
    folder = fetch(SETTINGS + [name for name in TOKENIZER if name in found])
    config = from_json(source, *(read_json(folder / name) for name in SETTINGS))  # complains before gigabytes come
    fetch([name for some_files in files.values() for name in some_files])
    opened = {part: [TensorFile(folder / name) for name in files[part]] for part in MODELS}
    return Parts("diffusers", opened, config, folder / "tokenizer", half)


def tensor_files(source: str, part: str, found: Collection[str], half: bool) -> list[str]:
    """Choose the files that hold a part: safetensors before pickles, and the precision that is asked for."""
    for stem, ending in (("model", "safetensors"), ("pytorch_model", "bin")):
        stem = stem if part == "text_encoder" else "diffusion_pytorch_model"
        for variant in (".fp16", "") if half else ("", ".fp16"):
            if (whole := f"{part}/{stem}{variant}.{ending}") in found:
                return [whole]
            shards = sorted(n for n in found if re.fullmatch(rf"{part}/{stem}{variant}-\d+-of-\d+\.{ending}", n))
            if shards and len(shards) == int(re.search(r"-of-(\d+)", shards[0])[1]):
                return shards
    raise CourseError(f"{source} lacks the weights of {part} ({part}/*.safetensors); get the folder again, whole.")


def read_json(path: Path) -> Json:
    """Read an object from a JSON file, or raise CourseError."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CourseError(f"{path} cannot be read ({error}); get the folder again.") from error
    if not isinstance(found, dict):
        raise CourseError(f"{path} holds no settings; get the folder again.")
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
            raise CourseError(f"{whole} is no tokenizer of CLIP's kind; get the folder again.") from error
        folder = Path(tempfile.mkdtemp(dir=scratch().name))
        (folder / "vocab.json").write_text(vocabulary, encoding="utf-8")
        (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *pairs, ""]), encoding="utf-8")
    files = folder / "vocab.json", folder / "merges.txt"
    return files if all(file.is_file() for file in files) else None


# --- the single file --------------------------------------------------------------------------------------------------


def read_file(path: Path, half: bool) -> Parts:
    """Open a single file in CompVis' layout; what else is in it, such as the training's averages, is left alone."""
    file = TensorFile(path)
    other_model(path, file)
    try:
        if NOTE in file.note:
            note = json.loads(file.note[NOTE])
            config = note | {name: kind(**note[name]) for name, kind in KINDS.items()}
        else:
            config = from_shapes({modern("text_encoder", name): shape for name, shape in file.shapes.items()})
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise CourseError(f"{path.name} is not whole: it lacks {error}; download it again.") from error
    return Parts(
        "compvis", {part: [file] for part in MODELS}, checked(path.name, config), path.parent / "tokenizer", half
    )


def other_model(path: Path, file: TensorFile) -> None:
    """Raise CourseError if the names of the tensors are not those of Stable Diffusion 1."""

    def has(pattern: str) -> bool:
        return any(re.search(pattern, name) for name in file.shapes)

    if has(r"^conditioner\.embedders\."):
        raise not_v1(path.name, "Stable Diffusion XL", "has a second text encoder")
    if has(r"^cond_stage_model\.model\."):
        raise not_v1(path.name, "Stable Diffusion 2", "has another text encoder (OpenCLIP)")
    if has(r"joint_blocks|double_blocks|diffusion_model\.layers"):
        raise not_v1(path.name, "another model's", "has a transformer in place of the U-Net")
    for what, pattern in {"a LoRA": r"lora", "a ControlNet": r"^control_model\."}.items():
        if has(pattern):
            raise CourseError(
                f"{path.name} holds {what}, which changes a model, and no model; give the weights of a whole one, "
                f"such as {V1_NAME}."
            )
    missing = [part for part in MODELS if not has("^" + re.escape(PREFIXES[part]))]
    if len(missing) == len(MODELS) and has(r"^(down_blocks\.|encoder\.|text_model\.|embeddings\.)"):
        raise CourseError(f"{path.name} holds one part of a model; give the folder that has all of them.")
    if missing:
        called = f" (its tensors are called {some(file.shapes)})" if len(missing) == len(MODELS) else ""
        raise CourseError(
            f"{path.name} is no whole Stable Diffusion: it has no {' and no '.join(missing)}{called}; give a whole "
            f"one's weights, such as {V1_NAME}."
        )


# --- small things -----------------------------------------------------------------------------------------------------


@cache
def scratch() -> tempfile.TemporaryDirectory:
    """Return a folder that lives as long as Python does."""
    return tempfile.TemporaryDirectory(prefix="stablediff_edu-")


def belongs(name: str, part: str, layout: str) -> bool:
    """Tell whether a tensor is a weight of the part; position_ids are 0, 1, 2, …, which some files hold."""
    return name.startswith(PREFIXES[part] if layout == "compvis" else "") and not name.endswith("position_ids")


def modern(part: str, name: str) -> str:
    """Return the name as it is spelt today: older and newest files differ."""
    if part == "text_encoder":  # transformers 5 leaves text_model out
        return re.sub(r"(^|transformer\.)(embeddings|encoder|final_layer_norm)\.", r"\1text_model.\2.", name)
    old = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"} if part == "vae" else {}
    return re.sub(r"(attentions\.0)\.(\w+)\.", lambda found: f"{found[1]}.{old.get(found[2], found[2])}.", name)


def fits(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Compare shapes; a 1×1 convolution (A, B, 1, 1) and a linear layer (A, B) are the same."""
    return found == tuple(wanted) or (found[:2] == tuple(wanted)[:2] and set(found[2:] + tuple(wanted)[2:]) == {1})


def some(keys: Collection[str]) -> str:
    """Name the first two of some keys, and say how many more there are."""
    first, more = sorted(keys)[:2], len(keys) - 2
    return ", ".join(first) + (f" and {more} more" if more > 0 else "")
