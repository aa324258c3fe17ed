"""Every panel on the pretended accelerator, all of its controls moved."""

import ipywidgets as widgets
import pytest
from accelerator import DEVICE, Accelerator, use
from panel_factories import PANELS


def move(control: object) -> None:
    """Give a control another value, as a learner does; an error in what follows is raised here."""
    if isinstance(control, widgets.Button):
        for callback in list(control._click_handlers.callbacks):  # click() itself would only log an error
            callback(control)
    elif hasattr(control, "text"):  # a box for words
        control.text = "a blue duck"
    elif isinstance(control, widgets.Text):
        control.value = "the film was good" if "film" in control.value else "a blue duck"
    elif isinstance(control.value, bool):
        control.value = not control.value
    elif hasattr(control, "options"):
        control.index = (control.index + 1) % len(control.options)
    else:  # a slider or a number box
        low, high = getattr(control, "min", 0), getattr(control, "max", 1)
        control.value = low if control.value != low else min(high, low + 1)


@pytest.mark.parametrize("mps", [False, True], ids=["cuda", "mps"])
@pytest.mark.parametrize("name", PANELS)
def test_every_control_of_the_panel_can_be_moved_there(name: str, mps: bool, monkeypatch):
    use(monkeypatch.setattr)
    with Accelerator(mps=mps):
        panel = PANELS[name](DEVICE)
        for control in panel.controls.values():
            move(control)
        assert all(image.value for image in getattr(panel, "images", {}).values())
