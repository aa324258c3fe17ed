"""All trainings of the course by name: `train NAME` and the tests are driven by this table."""

from importlib import import_module
from typing import Any

from stablediff_edu.errors import UserError
from stablediff_edu.tasks.task import Task

# name -> its class, "module:class" in this folder, imported when it is needed; and what it trains
TASKS = {
    "fish": ("fish:FishTask", "a U-Net that segments fish, or what your own masks show (notebook 02)"),
    "ship-classifier": ("ship_classifier:ShipClassifierTask", "the classifier of generated ships (notebook 04)"),
    "digit-classifier": ("digit_classifier:DigitClassifierTask", "the classifier of digits (notebook 05)"),
    "scene-classifier": ("scene_classifier:SceneClassifierTask", "the classifier of what scenes show (notebook 08)"),
}


def task_class(name: str) -> type[Task[Any, Any]]:
    """Return the class of a task."""
    if name not in TASKS:
        raise UserError(f"There is no training {name!r}; choose one of: {', '.join(TASKS)}.")
    module, _, attribute = TASKS[name][0].partition(":")
    return getattr(import_module(f"stablediff_edu.tasks.{module}"), attribute)
