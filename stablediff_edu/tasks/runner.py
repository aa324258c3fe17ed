"""Run a task from its data to saved weights with metadata: the one way in which `train NAME` trains."""

from pathlib import Path
from typing import Any

from stablediff_edu.config import seed_everything
from stablediff_edu.errors import UserError
from stablediff_edu.io import checkpoint
from stablediff_edu.tasks.task import Task
from stablediff_edu.training import distributed
from stablediff_edu.training.loop import TrainResult
from stablediff_edu.training.trained_models import save_trained

CACHES = (".progress", ".latents", ".scenes.npy", ".sharpening")  # beside the weights, until a training has ended


def run(task: Task[Any, Any], out: Path | None, command: str, resume: bool = False) -> tuple[Path, TrainResult]:
    """Train, evaluate and save with metadata; return the file of the weights and the record.

    Ctrl-C keeps the weights so far, and the progress beside them: the same call resumes the training.

    Args:
        task: what to train.
        out: where the weights go; by default the place of the pretrained ones for the preset that made them, else
            `NAME_own.safetensors`.
        command: what is called, for the metadata.
        resume: refuse to begin a new training.
    """
    out = out or default_out(task)
    progress = out.with_suffix(".progress")
    if resume and not progress.exists():
        raise UserError(f"There is no {progress.name} of a stopped training; leave --resume out to begin one.")
    if task.is_shared:
        distributed.check_batch(task.batch_size)
    else:
        distributed.require_single_process(task.name)
    checkpoint.check_writable(out)
    with distributed.distributed():
        if progress.exists():
            say(f"resuming the training in {progress.name}; delete it to begin again")
        seed_everything(task.seed)
        training_set, held_out = task.data(progress)
        seed_everything(task.seed)
        say(f"training on {_describe(training_set, held_out)}; weights go to {out}")
        model, training = task.train(training_set, checkpoint=progress)
        score = f"loss {training.loss:.5f}"
        if distributed.is_main_process() and not training.interrupted:
            score = f"{task.evaluate(model, held_out)}; {score}".removeprefix("; ")
        metadata = dict(
            command=command, seed=task.seed, init=_describe_init(task), **task.metadata(training_set, training)
        )
        out = save_trained(out, model, training, progress, result=score, **metadata)
        say(f"{training.steps} steps in {training.seconds:.0f} s; {score}; weights in {out}")
        if training.interrupted:
            say("stopped early: these are the weights so far; the same command resumes the training")
        elif distributed.is_main_process():
            for ending in CACHES:
                progress.with_suffix(ending).unlink(missing_ok=True)
        say(f"next: python -m stablediff_edu {task.next_command.format(name=task.name, out=out)}")
    return out, training


def default_out(task: Task[Any, Any]) -> Path:
    """Return the pretrained file for the preset that made it, else a file in the current folder."""
    if task == task.presets.get("pretrained"):
        return checkpoint.checkpoint_path(task.weights or task.name)
    return Path(f"{task.name}_own.safetensors")


def evaluate(task: Task[Any, Any], name: str | Path | None) -> str:
    """Return how weights were trained, and how good they are: those of a file, or the pretrained ones."""
    model, metadata = task.load(name or task.weights or task.name)
    fields = ("command", "data", "steps", "seconds", "licence")
    made = " · ".join(f"{field} {metadata.get(field, 'unknown')}" for field in fields)
    return f"weights: {made}\n{task.report(model, metadata)}"


def say(sentence: str) -> None:
    """Print a line at once, in the first process only."""
    if distributed.is_main_process():
        print(sentence, flush=True)


def _describe(data: Any, held_out: Any) -> str:
    """Count what is trained on, name its source, and name files that were left out of it."""
    left_out = getattr(data, "left_out", [])
    if left_out:
        more = f"; and {len(left_out) - 5:,} more" if len(left_out) > 5 else ""
        say(f"left out: {len(left_out):,} files ({'; '.join(left_out[:5])}{more})")
    counted = f"{len(data):,} images" + (f" ({data.source})" if hasattr(data, "source") else "")
    return counted + (f", {len(held_out):,} held out" if held_out is not None else "")


def _describe_init(task: Task[Any, Any]) -> str:
    if not task.init:
        return "random"
    metadata = checkpoint.read_metadata(task.init)
    return f"{metadata['command']} ({metadata['steps']} steps, {metadata['seconds']} s)"
