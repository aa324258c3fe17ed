"""Trained networks on disk: kept with metadata when a training ends, and rebuilt with the sizes on that metadata."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from stablediff_edu.errors import UserError
from stablediff_edu.io import checkpoint
from stablediff_edu.training import distributed
from stablediff_edu.training.loop import TrainResult

Model = TypeVar("Model", bound=nn.Module)


def save_trained(out: Path, model: nn.Module, training: TrainResult, **metadata: object) -> Path:
    """Save what a training has learned, with its metadata, and return the file.

    A training that was stopped keeps its progress, and does not replace pretrained weights that are finished.

    Args:
        out: where the weights go.
        metadata: command, seed, data, licence, result, and whatever else `load_trained` or a reader should know.
    """
    if training.interrupted and out.parent == checkpoint.PRETRAINED and out.exists():
        out = out.with_stem(f"{out.stem}_unfinished")
    record = dict(
        steps=training.steps,
        seconds=round(training.seconds),
        device=str(next(model.parameters()).device),
        date=time.strftime("%Y-%m-%d"),
    )
    if not distributed.is_main_process():
        return out
    checkpoint.save_checkpoint(out, model, metadata | record)
    return out


def load_trained(network: Callable[..., Model], name: str | Path, kind: str) -> tuple[Model, dict[str, str]]:
    """Return the trained network of a checkpoint, on the CPU in evaluation mode, and its metadata.

    Args:
        network: the class; the metadata holds its arguments.
        name: a pretrained name or a .safetensors file, from anywhere: nothing in it is believed.
        kind: what the weights should be, for the sentence that says they are not.

    Raises:
        UserError: the file is missing or cut off, holds another network's weights, or numbers that are none.
    """
    tensors, metadata = checkpoint.load_checkpoint(name)
    file = checkpoint.checkpoint_path(name).name
    try:
        config = json.loads(metadata["config"])
        with torch.device("meta"):  # sizes alone, without memory: metadata may ask for more than any machine has
            wanted = {key: value.shape for key, value in network(**config).state_dict().items()}
    except Exception as error:  # no card, metadata of something else, sizes that cannot be: a dozen kinds
        raise UserError(f"{file} holds no weights of {kind}; name another file or train one.") from error
    if wanted != {key: value.shape for key, value in tensors.items()}:
        raise UserError(f"{file} does not hold what its card says; take another file or train it again.")
    if not all(value.isfinite().all() for value in tensors.values()):
        raise UserError(f"{file} holds weights that are not numbers; its training went wrong: train it again.")
    model = network(**config)
    model.load_state_dict(tensors)
    return model.eval(), metadata
