"""The sampler panel: every control over its whole range, and the pictures that must follow."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from stablediff_edu.diffusion.samplers import SAMPLERS, generate
from stablediff_edu.diffusion.schedule import Schedule
from stablediff_edu.display.live import to_bytes
from stablediff_edu.display.panels.sampler import sampler_panel
from stablediff_edu.models.unet import UNet

SCHEDULE = Schedule.cosine()


@pytest.fixture(scope="module")
def model() -> UNet:
    torch.manual_seed(0)
    return UNet(3, 3, (8, 8), time=16).eval()


@pytest.fixture
def panel(model):
    return sampler_panel(model, SCHEDULE, size=8, prediction="velocity", count=4, steps=3)


def sheet(panel) -> bytes:
    return bytes(panel.images["sheet"].value)


def move(panel, name, value) -> bool:
    """Whether the sheet is another one."""
    before = sheet(panel)
    panel.controls[name].value = value
    return sheet(panel) != before


def test_everything_is_drawn_at_once(panel):
    assert set(panel.controls) == {"seed", "steps", "steps number", "sampler", "step", "step number", "show"}
    assert sheet(panel).startswith(b"\x89PNG")


def test_every_control_moves_over_its_range(panel):
    controls = panel.controls
    assert list(controls["sampler"].options) == list(SAMPLERS)
    for sampler in SAMPLERS:
        controls["sampler"].value = sampler
        for steps in (1, 2, 4):
            controls["steps number"].value = steps
            assert controls["steps"].value == steps
            assert sampler in panel.note.value and f"{steps} step" in panel.note.value
            for show in ("x0", "xt"):
                controls["show"].value = show
                for step in range(steps + 1):
                    controls["step"].value = step
                    assert sheet(panel).startswith(b"\x89PNG")
    controls["steps"].value = controls["steps"].max
    assert controls["step"].value == controls["step"].max == 50
    controls["seed"].value = controls["seed"].max


def test_each_control_changes_the_pictures(panel):
    assert move(panel, "seed", 1)
    assert move(panel, "sampler", "euler-ancestral")
    assert move(panel, "steps", 4)
    assert move(panel, "step", 2)
    assert move(panel, "show", "xt")


def test_at_the_end_mixture_and_picture_are_one(panel):
    assert "the result" in panel.note.value
    assert not move(panel, "show", "xt")


@pytest.mark.parametrize("sampler", ["pndm", "heun", "ddpm"])
def test_the_sheet_shows_what_the_sampler_makes(model, panel, sampler: str):
    panel.controls["sampler"].value = sampler
    panel.controls["seed"].value = 5
    expected = generate(model, SCHEDULE, (4, 3, 8, 8), 3, sampler, prediction="velocity", clip=True, seed=5)
    picture = np.asarray(Image.open(io.BytesIO(sheet(panel))))  # 2×2 pictures of 128 pixels, 4 between
    for number, (top, left) in enumerate([(0, 0), (0, 132), (132, 0), (132, 132)]):
        tile = picture[top : top + 128 : 16, left : left + 128 : 16]
        assert (tile == to_bytes(expected[number])).all()


def test_the_line_says_how_often_the_network_was_asked(model):
    panel = sampler_panel(model, Schedule.linear(), 8, count=1, steps=3, sampler="heun")
    assert "3 steps" in panel.note.value and "5 network calls" in panel.note.value  # twice, but for the last step


def test_going_back_to_an_earlier_choice_draws_nothing_anew(model, monkeypatch):
    asked = []
    panel = sampler_panel(
        lambda xt, t: asked.append(1) or model(xt, t), SCHEDULE, 8, "velocity", 1, steps=3, sampler="ddim"
    )
    first = sheet(panel)
    panel.controls["seed"].value = 1
    assert len(asked) == 6
    panel.controls["seed"].value = 0
    for step in range(3):
        panel.controls["step"].value = step
    panel.controls["step"].value = 3
    assert len(asked) == 6 and sheet(panel) == first


def test_while_it_computes_it_says_so(model):
    lines = []
    panel = sampler_panel(model, SCHEDULE, 8, "velocity", 1, steps=2)
    panel.note.observe(lambda change: lines.append(change["new"]), "value")
    panel.controls["seed"].value = 1
    assert lines[0] == "drawing …" and "the result" in lines[-1]
