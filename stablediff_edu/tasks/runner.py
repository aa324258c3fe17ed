"""Run a task from its data to saved weights with metadata: the one way in which `train NAME` trains."""

from pathlib import Path
from typing import Any

from stablediff_edu.config import seed_everything
from stablediff_edu.errors import UserError
from stablediff_edu.io import checkpoint
from stablediff_edu.tasks.task import Task
from stablediff_edu.training import distributed
from stablediff_edu.training.loop import TrainResult
from stablediff_edu.training.sample_logger import SampleLogger

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
    progress = task.progress_file(out)
    if resume and not progress.exists():
        raise UserError(f"There is no {progress.name} of a stopped training; leave --resume out to begin one.")
    if task.is_shared:
        distributed.check_batch(task.batch_size)
    else:
        distributed.require_single_process(task.name)
    task.check_out(out)
    with distributed.distributed():
        if progress.exists():
            say(f"resuming the training in {progress.name}; delete it to begin again")
        seed_everything(task.seed)
        training_set, held_out = task.data(progress)
        seed_everything(task.seed)
        say_left_out(getattr(training_set, "left_out", []))
        say(f"{task.describe(training_set, held_out)}; weights go to {out}")
        logger = SampleLogger(progress) if task.logs_samples and distributed.is_main_process() else None
        model, training = task.train(training_set, logger, progress=progress)
        score = f"loss {training.loss:.5f}"
        if distributed.is_main_process() and not training.interrupted:
            score = f"{task.evaluate(model, held_out)}; {score}".removeprefix("; ")
        metadata = dict(
            command=command, seed=task.seed, init=_describe_init(task), **task.metadata(training_set, training)
        )
        out = task.save(out, model, training, metadata | dict(result=score))
        say(f"{training.steps} steps in {training.seconds:.0f} s; {score}; weights in {out}")
        if training.interrupted:
            say("stopped early: these are the weights so far; the same command resumes the training")
        elif distributed.is_main_process():
            for ending in CACHES:
                progress.with_suffix(ending).unlink(missing_ok=True)
        say(f"next: python -m stablediff_edu {task.next_command.format(name=task.name, out=out, task=task)}")
    return out, training


def default_out(task: Task[Any, Any]) -> Path:
    """Return the pretrained file for the preset that made it, else a file in the current folder."""
    if task == task.presets.get("pretrained"):
        return checkpoint.checkpoint_path(task.weights or task.name)
    return Path(f"{task.name}_own{task.suffix}")


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


def say_left_out(files: list[str]) -> None:
    """Count the files that were not used, and name the first ones."""
    if files:
        more = f"; and {len(files) - 5:,} more" if len(files) > 5 else ""
        say(f"left out: {len(files):,} files ({'; '.join(files[:5])}{more})")


def _describe_init(task: Task[Any, Any]) -> str:
    if not task.init:
        return "random"
    metadata = checkpoint.read_metadata(task.init)
    return f"{metadata['command']} ({metadata['steps']} steps, {metadata['seconds']} s)"
