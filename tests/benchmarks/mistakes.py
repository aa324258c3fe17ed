"""Do the tests notice mistakes? Applies seeded mistakes one by one in a temporary copy and runs the named tests there.

    python tests/benchmarks/mistakes.py [--part 1/4] [--only NAME ...] [--list]

Each line of the output is a mistake and whether it was caught. The exit status is 1 if one was not caught, or if its
text is no longer in its file (after a rename: update MISTAKES). It needs os.fork: Linux or macOS.
"""

import argparse
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Mistake(NamedTuple):
    """A text in a file of the package, a wrong one to put in its place, and the test files that should fail."""

    name: str
    file: str
    right: str
    wrong: str
    tests: str


MISTAKES = [
    # networks
    Mistake(
        "eps of the U-Net's norms",
        "models/unet_2d_condition.py",
        "EPS = 1e-5",
        "EPS = 1e-6",
        "models/test_unet_2d_condition.py",
    ),
    Mistake(
        "eps of the autoencoder's norms",
        "models/autoencoder_kl.py",
        "EPS = 1e-6",
        "EPS = 1e-5",
        "models/test_autoencoder_kl.py",
    ),
    Mistake(
        "eps of the transformer's group norm",
        "layers/transformer.py",
        "nels, eps=1e-6)",
        "nels, eps=1e-5)",
        "layers/test_transformer.py",
    ),
    Mistake(
        "key and value swapped",
        "layers/attention.py",
        "(to_q(x), to_k(context), to_v(context))",
        "(to_q(x), to_v(context), to_k(context))",
        "layers/test_attention.py",
    ),
    Mistake(
        "scores without 1/sqrt(d)",
        "layers/attention.py",
        "q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5",
        "q @ k.transpose(-2, -1)",
        "layers/test_attention.py",
    ),
    Mistake(
        "mask with the wrong polarity",
        "layers/attention.py",
        "scores.masked_fill(~mask, -torch.inf)",
        "scores.masked_fill(mask, -torch.inf)",
        "layers/test_attention.py",
    ),
    Mistake(
        "causal mask looks ahead",
        "layers/attention.py",
        ".tril()",
        ".triu()",
        "layers/test_attention.py models/test_clip_model.py",
    ),
    Mistake(
        "GEGLU gates the wrong half",
        "layers/transformer.py",
        "value, gate = self.proj(x)",
        "gate, value = self.proj(x)",
        "layers/test_transformer.py",
    ),
    Mistake(
        "padding on the wrong side",
        "layers/upsample.py",
        "F.pad(x, (0, 1, 0, 1))",
        "F.pad(x, (1, 0, 1, 0))",
        "models/test_autoencoder_kl.py",
    ),
    Mistake(
        "skip connection in the wrong order",
        "models/unet_2d_condition.py",
        "torch.cat([x, skips.pop()], dim=1)",
        "torch.cat([skips.pop(), x], dim=1)",
        "models/test_unet_2d_condition.py",
    ),
    Mistake(
        "sine before cosine in the U-Net",
        "models/unet_2d_condition.py",
        "flip_sin_to_cos=True",
        "flip_sin_to_cos=False",
        "models/test_unet_2d_condition.py",
    ),
    Mistake(
        "latents multiplied by the scaling twice",
        "models/autoencoder_kl.py",
        "self.post_quant_conv(z / self.config.scaling_factor)",
        "self.post_quant_conv(z * self.config.scaling_factor)",
        "models/test_autoencoder_kl.py",
    ),
    # losses
    Mistake(
        "sign in the KL divergence",
        "models/autoencoder_kl.py",
        "logvar.exp() - 1 - logvar",
        "logvar.exp() - 1 + logvar",
        "models/test_autoencoder_kl.py",
    ),
    Mistake(
        "variance taken for the standard deviation",
        "models/autoencoder_kl.py",
        "torch.exp(logvar / 2)",
        "torch.exp(logvar)",
        "models/test_autoencoder_kl.py",
    ),
    Mistake(
        "CLIP loss without temperature",
        "models/clip.py",
        "logits = logit_scale * similarities",
        "logits = similarities",
        "models/test_clip_model.py",
    ),
    Mistake(
        "CLIP loss in one direction",
        "models/clip.py",
        "F.cross_entropy(logits.T, pairs)",
        "F.cross_entropy(logits, pairs)",
        "models/test_clip_model.py",
    ),
    Mistake(
        "a word is its own neighbor",
        "models/word2vec.py",
        "return distances.masked_fill(distances == 0, window + 1)",
        "return distances",
        "test_word2vec.py",
    ),
    Mistake(
        "power of the negative sampling table",
        "data/words/vocabulary.py",
        "power: float = 0.75",
        "power: float = 1.0",
        "data/test_corpus.py",
    ),
    # schedules and samplers
    Mistake(
        "betas not squared",
        "diffusion/schedule.py",
        "check_num_steps(steps), **EXACT) ** 2)",
        "check_num_steps(steps), **EXACT))",
        "test_schedule.py",
    ),
    Mistake(
        "cosine schedule not squared",
        "diffusion/schedule.py",
        "* torch.pi / 2) ** 2",
        "* torch.pi / 2)",
        "test_schedule.py",
    ),
    Mistake(
        "sign of the velocity",
        "diffusion/schedule.py",
        "signal * eps - noise * x0",
        "signal * eps + noise * x0",
        "test_schedule.py test_denoising.py",
    ),
    Mistake(
        "variance of a DDPM step",
        "diffusion/samplers.py",
        "variance = (1 - target.alpha_bar) / (1 - here) * beta",
        "variance = beta",
        "test_samplers_parity.py",
    ),
    Mistake(
        "DDIM adds noise and removes none",
        "diffusion/samplers.py",
        "1 - target.alpha_bar - fresh**2",
        "1 - target.alpha_bar",
        "test_samplers_parity.py",
    ),
    Mistake(
        "one step less in PNDM's memory",
        "diffusion/samplers.py",
        "[current, *history][:3]",
        "[current, *history][:2]",
        "test_samplers_parity.py",
    ),
    Mistake(
        "leading steps without their offset",
        "diffusion/samplers.py",
        ".flip(0)[:steps] + offset",
        ".flip(0)[:steps]",
        "test_samplers_parity.py",
    ),
    Mistake(
        "Karras sigmas with another rho",
        "diffusion/samplers.py",
        "steps, **EXACT)) ** 7",
        "steps, **EXACT)) ** 6",
        "test_samplers_parity.py",
    ),
    Mistake(
        "the seed is ignored",
        "diffusion/samplers.py",
        "manual_seed(seed * 1_000_003 + number)",
        "manual_seed(number)",
        "test_samplers.py",
    ),
    # pipeline
    Mistake(
        "guidance starts from the prompt",
        "pipelines/stable_diffusion.py",
        "without + guidance * (there - without)",
        "there + guidance * (there - without)",
        "test_stable_diffusion.py",
    ),
    Mistake(
        "image-to-image starts one step early",
        "diffusion/check_inputs.py",
        "return steps - max(1, int(steps * strength))",
        "return max(0, steps - max(1, int(steps * strength)) - 1)",
        "test_stable_diffusion.py",
    ),
    Mistake(
        "inpainting keeps what it should replace",
        "diffusion/inpainting.py",
        "torch.where(self.new, z, self.add_noise(level, eps))",
        "torch.where(self.new, self.add_noise(level, eps), z)",
        "test_stable_diffusion.py",
    ),
    Mistake(
        "word tokenizer one too long",
        "tokenizers/words.py",
        "if len(numbers) > self.length - 2",
        "if len(numbers) > self.length - 1",
        "test_captions.py test_clip_training.py",
    ),
    # training
    Mistake(
        "EMA follows the new weights",
        "training/loop.py",
        "list(model.parameters()), 1 - decay)",
        "list(model.parameters()), decay)",
        "test_training_loop.py",
    ),
    Mistake(
        "resume loses the generator's state",
        "training/loop.py",
        'torch.set_rng_state(state["random"])',
        "pass",
        "test_resume.py",
    ),
    Mistake(
        "captions dropped where they should stay",
        "tasks/text_to_image.py",
        "torch.rand(size, 1) < self.cond_drop_prob",
        "torch.rand(size, 1) > self.cond_drop_prob",
        "test_text_to_picture.py",
    ),
    Mistake(
        "IoU of empty masks is 1",
        "tasks/segmentation.py",
        "iou = torch.where(nothing, torch.nan,",
        "iou = torch.where(nothing, 1.0,",
        "test_segmentation.py",
    ),
    # data
    Mistake(
        "held-out combinations in the training set",
        "data/scenes/dataset.py",
        "while is_held_out(scene := sample_labeled_scene(rng)) == train:",
        "while is_held_out(scene := sample_labeled_scene(rng)) < (not train):",
        "data/test_captions.py",
    ),
    Mistake(
        "a split tears groups apart",
        "data/segmentation_folder.py",
        "torch.isin(self.groups, kinds[order[:count]])",
        "torch.isin(torch.arange(len(self)), order[:count])",
        "data/test_segmentation_folder.py",
    ),
    Mistake(
        "a changed pixel",
        "data/fish/synthetic.py",
        "color[outside] = 0.0",
        "color[outside] = 0.01",
        "data/test_golden_data.py",
    ),
    Mistake(
        "EXIF orientation ignored",
        "data/image_files.py",
        "return ImageOps.exif_transpose(turned)",
        "return turned",
        "data/test_segmentation_folder.py",
    ),
    # files
    Mistake(
        "archive paths may lead out",
        "data/archive.py",
        'path.is_absolute() or ".." in path.parts or not',
        "path.is_absolute() or not",
        "data/test_archive.py",
    ),
    Mistake(
        "links in archives are followed",
        "data/archive.py",
        "if stat.S_ISLNK(member.external_attr >> 16)",
        "if False",
        "data/test_archive.py",
    ),
    Mistake(
        "hashes are not compared",
        "data/download.py",
        ".hexdigest() != expected.lower()",
        ".hexdigest() == ''",
        "data/test_download.py",
    ),
    Mistake(
        "a checkpoint is written in place",
        "io/checkpoint.py",
        "        os.close(handle)\n",
        "        os.close(handle)\n        os.unlink(self.temporary)\n        self.temporary = str(self.path)\n",
        "test_checkpoints.py",
    ),
    Mistake(
        "pickles may run code", "io/tensor_files.py", "weights_only=True", "weights_only=False", "test_tensor_files.py"
    ),
    Mistake(
        "a broken file gets a traceback",
        "io/checkpoint.py",
        "except (SafetensorError, OSError) as error",
        "except OSError as error",
        "test_checkpoints.py",
    ),
]


def copy_to(folder: Path) -> None:
    """Copy what the tests need."""
    for name in ("stablediff_edu", "tests", "data/checkpoints"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "Makefile"):
        shutil.copy(ROOT / name, folder / name)


def test_files(mistake: Mistake) -> list[Path]:
    """Return the test files of a mistake, relative to the project, in whatever folder they stand."""
    found = {path.name: path.relative_to(ROOT) for path in (ROOT / "tests").rglob("test_*.py")}
    return [found.get(Path(name).name, Path("missing") / name) for name in mistake.tests.split()]


def is_caught(mistake: Mistake, folder: Path) -> bool | None:
    """Return whether a test fails with the mistake; None if its text does not stand in the file exactly once."""
    path = folder / "stablediff_edu" / mistake.file
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if text.count(mistake.right) != 1:
        return None
    path.write_text(text.replace(mistake.right, mistake.wrong), encoding="utf-8")
    try:
        code, log = run_tests(folder, [str(path) for path in test_files(mistake)])
    finally:
        path.write_text(text, encoding="utf-8")
    if code not in (0, 1):
        raise SystemExit(f"{mistake.name}: the tests did not run:\n{log[-4000:]}")
    return code == 1


def run_tests(folder: Path, tests: list[str]) -> tuple[int, str]:
    """Run pytest in a fork of this process, which has imported torch and diffusers already; return its exit code."""
    log = folder / "log"
    process = os.fork()
    if process == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with log.open("w") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        os.chdir(folder)
        os.environ["PYTHONPATH"] = str(folder)
        sys.path.insert(0, str(folder))
        os._exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests]))
    try:
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    except BaseException:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        raise
    return code, log.read_text(encoding="utf-8", errors="replace")


def import_libraries() -> None:
    """Import what takes long; the package itself must not be among it."""
    own = {str(ROOT), str(Path(__file__).resolve().parent)}  # transformers would import our kernels.py
    sys.path[:] = [place for place in sys.path if place not in own]
    sys.modules.setdefault("torchvision", None)  # type: ignore[arg-type]  # as in conftest.py
    with contextlib.suppress(Exception):  # the tests say better what is wrong
        import torch  # noqa: F401
        from diffusers import AutoencoderKL, UNet2DConditionModel  # noqa: F401
        from transformers import CLIPTextModel  # noqa: F401
    assert "stablediff_edu" not in sys.modules


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", default="1/1", help="which part of the list, such as 2/4")
    parser.add_argument("--only", nargs="*", default=[], help="names, or beginnings of names")
    parser.add_argument("--list", action="store_true", help="check only that each text stands in its file")
    options = parser.parse_args()
    part, parts = map(int, options.part.split("/"))
    chosen = [one for one in MISTAKES if not options.only or one.name.startswith(tuple(options.only))]
    chosen = chosen[part - 1 :: parts]
    if options.list:
        complaints = 0
        for one in chosen:
            path = ROOT / "stablediff_edu" / one.file
            count = path.read_text(encoding="utf-8").count(one.right) if path.exists() else 0
            missing = [test.name for test in test_files(one) if not (ROOT / test).exists()]
            complaint = f" has the text {count} times" * (count != 1) + f" lacks {' '.join(missing)}" * bool(missing)
            complaints += bool(complaint)
            print(f"{one.name}: {one.file}{complaint}")
        return int(complaints > 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the copy is removed
    sys.dont_write_bytecode, os.environ["PYTHONDONTWRITEBYTECODE"] = True, "1"
    import_libraries()
    caught = 0
    with tempfile.TemporaryDirectory() as place:
        copy_to(Path(place))
        for one in chosen:
            started = time.monotonic()
            found = is_caught(one, Path(place))
            caught += found is True
            answer = {True: "caught", False: "NOT CAUGHT", None: "text not found"}[found]
            print(f"{answer:<14} {time.monotonic() - started:5.1f} s  {one.name}", flush=True)
    print(f"{caught} of {len(chosen)} mistakes caught")
    return int(caught < len(chosen))


if __name__ == "__main__":
    sys.exit(main())
