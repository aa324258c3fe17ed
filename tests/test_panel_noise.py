"""The panels of chapter 3: every control over its whole range, the pictures that must follow, and what they show."""

import io
import time

import numpy as np
import pytest
import torch
from PIL import Image

from stablediff_edu.diffusion.schedule import Schedule
from stablediff_edu.display.live import to_bytes
from stablediff_edu.display.panels.noise import LOOK, STEPS, WAY, noise_panel, one_look
from stablediff_edu.display.panels.position import position_panel
from stablediff_edu.layers.position import sinusoidal_encoding
from stablediff_edu.models.unet import UNet

SIZE = 16
SCHEDULE = Schedule.cosine()
PICTURES = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(3)) * 2 - 1


def knows_the_first(xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """What the best network says that knows one picture only: the velocity to it."""
    signal, noise = SCHEDULE.signal_and_noise(t, xt)
    return signal * (xt - signal * PICTURES[:1]) / noise - noise * PICTURES[:1]


class Untrained(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.unet = UNet(3, 3, (8, 8), time=16).eval()
        self.calls = 0

    def forward(self, xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.unet(xt, t)


@pytest.fixture(scope="module")
def untrained() -> Untrained:
    return Untrained()


@pytest.fixture
def panel(untrained):
    return noise_panel(untrained, SCHEDULE, PICTURES, "velocity", steps=(1, 2, 5))


def shown(panel):
    return {name: bytes(image.value) for name, image in panel.images.items()}


def changed(panel, act):
    before = shown(panel)
    act()
    return {name for name, value in shown(panel).items() if value != before[name]}


def move(panel, name, value):
    panel.controls[name].value = value


def pixels(panel, name: str) -> np.ndarray:
    """The picture on screen at its own size: (SIZE, SIZE, 3)."""
    picture = np.asarray(Image.open(io.BytesIO(panel.images[name].value)))
    times = len(picture) // SIZE
    assert picture.shape == (times * SIZE, times * SIZE, 3), "enlarged by a whole number"
    return picture[::times, ::times]


def test_everything_is_drawn_at_once(panel):
    controls = {"level", "level number", "steps", "step", "step number", "seed", "picture"}
    assert set(panel.controls) == controls
    assert set(panel.images) == {*LOOK, *WAY}
    assert all(value.startswith(b"\x89PNG") for value in shown(panel).values())


def test_every_control_moves_over_its_range(panel):
    controls = panel.controls
    for _, number in controls["picture"].options:
        move(panel, "picture", number)
        for level in (*range(0, 1000, 111), 999):
            move(panel, "level", level)
            assert controls["level number"].value == level
        for seed in (0, 9999):
            move(panel, "seed", seed)
        for steps in controls["steps"].options:
            move(panel, "steps", steps)
            for step in range(steps + 1):
                move(panel, "step number", step)
                assert controls["step"].value == step
    assert all(value.startswith(b"\x89PNG") for value in shown(panel).values())
    assert "nan" not in panel.notes["look"].value + panel.notes["way"].value


def test_each_control_changes_what_it_is_about(panel):
    move(panel, "step", 2)
    assert changed(panel, lambda: move(panel, "level", 700)) == {"noisy", "noise found", "noise taken away"}
    assert changed(panel, lambda: move(panel, "step", 3)) == {"mixture", "picture seen"}
    assert changed(panel, lambda: move(panel, "steps", 2)) == {"mixture", "picture seen"}
    assert changed(panel, lambda: move(panel, "seed", 1)) == {*LOOK, "mixture", "picture seen"}
    assert changed(panel, lambda: move(panel, "picture", 1)) == {
        "noisy", "noise found", "noise taken away", "true picture"
    }  # fmt: skip


def test_another_number_of_steps_goes_to_its_end(panel):
    for steps in (1, 5, 2):
        move(panel, "steps", steps)
        assert panel.controls["step"].value == panel.controls["step number"].max == steps
        assert f"all {steps} steps done" in panel.notes["way"].value


def test_scrubbing_asks_the_network_nothing(panel, untrained):
    asked = untrained.calls
    for step in (0, 3, 1, 5):
        move(panel, "step", step)
    assert untrained.calls == asked
    move(panel, "steps", 1)
    assert untrained.calls == asked + 1


def test_who_knows_the_picture_finds_it():
    panel = noise_panel(knows_the_first, SCHEDULE, PICTURES[:1], "velocity", steps=(5,))
    assert "picture" not in panel.controls
    move(panel, "level", 300)
    true = to_bytes(PICTURES[0]).astype(int)
    for name in ("noise taken away", "picture seen", "mixture", "true picture"):
        assert abs(pixels(panel, name) - true).max() <= 1, name
    assert abs(pixels(panel, "noise put in").astype(int) - pixels(panel, "noise found")).max() <= 1
    move(panel, "step", 0)
    assert abs(pixels(panel, "picture seen") - true).max() <= 1
    assert abs(pixels(panel, "mixture") - true).max() > 100


@pytest.mark.parametrize("prediction", ["noise", "clean", "velocity"])
def test_one_look_takes_away_the_noise_that_was_found(prediction: str):
    eps = torch.randn(2, 3, SIZE, SIZE)
    answer = SCHEDULE.target(PICTURES, eps, 400, prediction)
    xt, found, noise = one_look(lambda xt, t: answer, SCHEDULE, PICTURES, eps, 400, prediction)
    torch.testing.assert_close(xt, SCHEDULE.add_noise(PICTURES, eps, 400))
    torch.testing.assert_close(found, PICTURES, atol=1e-5, rtol=0)
    torch.testing.assert_close(noise, eps, atol=1e-5, rtol=0)


def test_the_numbers_of_steps_are_those_of_the_course():
    assert STEPS == (1, 2, 5, 10, 20, 50, 100)


def test_every_position_is_drawn_and_quickly():
    panel = position_panel(features=64, positions=1000)
    seen, times = set(), []
    for position in [*range(0, 1000, 90), 999]:
        begun = time.process_time()
        move(panel, "position number", position)
        times.append(time.process_time() - begun)
        assert panel.controls["position"].value == position
        seen.add(bytes(panel.images["position"].value))
    assert len(seen) == 13
    assert sorted(times)[len(times) // 2] < 0.06  # of computing; measured: 0.014 s


def test_the_position_panel_speaks_of_this_very_vector():
    panel = position_panel(features=64, positions=50)
    move(panel, "position", 49)
    vector = sinusoidal_encoding(torch.arange(50), 64)[49]
    assert f"from {vector.min():.2f} to {vector.max():.2f}".replace("-", "−") in panel.note.value
    assert "squared and added 32.0" in panel.note.value  # sin² + cos² = 1, 32 times
    assert "most alike: position 48" in panel.note.value
