"""Every panel on the pretended accelerator, all of its controls moved."""

import panel_factory
import pytest
from accelerator import DEVICE, Accelerator, use

from stablediff_edu.widgets.controls import Button, Check, Control, Grid, Number, Select, Slider, Text
from stablediff_edu.widgets.prompt_input import PromptInput


def move(control: Control) -> None:
    """Give a control another value, as a learner does."""
    match control:
        case Button():
            control.click()
        case Check():
            control.value = not control.value
        case Select():
            control.index = (control.index + 1) % len(control.options)
        case Text() | PromptInput():
            words = {"film": "the film was good", " ": "a blue duck", "": "queen"}
            control.value = next(text for part, text in words.items() if part in control.value)
        case Slider():
            control.value += control.step if control.value < control.high else -control.step
        case Number():
            control.value += 1
        case Grid():
            control.value = [value + 1 for value in control.value]


@pytest.mark.parametrize("mps", [False, True], ids=["cuda", "mps"])
@pytest.mark.parametrize("name", panel_factory.NAMES)
def test_every_control_of_the_panel_can_be_moved_there(name: str, mps: bool, monkeypatch):
    use(monkeypatch.setattr)
    with Accelerator(mps=mps):
        panel = panel_factory.make(name, DEVICE)
        for control in panel.controls.values():
            move(control)
            assert panel.note.state != "error", f"{control.name}: {panel.note.plain()}"
        assert all(image.value for image in panel.images.values() if image.shown)
