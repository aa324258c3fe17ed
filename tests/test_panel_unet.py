"""The panel inside the U-Net: every control over its whole range, and the pictures that must follow."""

import pytest
import torch

from stablediff_edu.datasets.fish import load_fish
from stablediff_edu.display.panels.unet import feature_colours, inside_unet
from stablediff_edu.models.unet import UNet

STEPS = (0, 5, 9)


@pytest.fixture(scope="module")
def parts():
    torch.manual_seed(0)
    data = load_fish(4, 32, "drawn")
    snapshots = [(step, torch.rand(4, 1, 32, 32) * (step + 1) / 10) for step in STEPS]
    return UNet(channels=(4, 8, 12)).eval(), data, UNet(channels=(4, 8, 12), skips=False).eval(), snapshots


@pytest.fixture
def panel(parts):
    model, data, blind, snapshots = parts
    return inside_unet(model, data, without_skips=blind, snapshots=snapshots)


def shown(panel):
    return {name: bytes(image.value) for name, image in panel.images.items()}


def changed(panel, before):
    return {name for name, value in shown(panel).items() if value != before[name]}


def test_everything_is_drawn_at_once(panel):
    assert set(panel.controls) == {"picture", "level", "channel", "channel number", "skips", "replay"}
    assert all(value.startswith(b"\x89PNG") for value in shown(panel).values())


def test_every_control_moves_over_its_range(panel):
    controls = panel.controls
    for skips in controls["skips"].options:
        controls["skips"].value = skips
        for _, picture in controls["picture"].options:
            controls["picture"].value = picture
            for level in controls["level"].options:
                controls["level"].value = level
                for channel in range(controls["channel"].max + 1):
                    controls["channel"].value = channel
                    assert controls["channel number"].value == channel
        for _, step in controls["replay"].options:
            controls["replay"].value = step
    assert all(value.startswith(b"\x89PNG") for value in shown(panel).values())


def test_each_control_changes_what_it_is_about(panel):
    controls = panel.controls
    before = shown(panel)
    controls["channel"].value = 3
    assert changed(panel, before) == {"channel"}
    before = shown(panel)
    controls["level"].value = "down 1"
    assert changed(panel, before) == {"channel", "sheet"}
    before = shown(panel)
    controls["replay"].value = 1
    assert changed(panel, before) == {"raw output", "mask"}
    controls["replay"].value = -1
    before = shown(panel)
    controls["skips"].value = "off"
    assert {"raw output", "mask"} <= changed(panel, before) and "picture" not in changed(panel, before)
    before = shown(panel)
    controls["picture"].value = 2
    assert "picture" in changed(panel, before)


def test_the_channel_stays_within_the_level(panel):
    controls = panel.controls
    controls["level"].value = "middle"
    controls["channel"].value = 11
    controls["level"].value = "output"
    assert controls["channel"].max == controls["channel number"].max == 0
    assert controls["channel"].value == controls["channel number"].value == 0
    controls["level"].value = "middle"
    assert controls["channel number"].max == 11


def test_replay_is_of_the_network_with_skips(panel):
    controls = panel.controls
    controls["replay"].value = 0
    with_skips = shown(panel)["raw output"]
    controls["skips"].value = "off"
    assert shown(panel)["raw output"] != with_skips


def test_without_snapshots_or_second_network_there_is_less_to_move(parts):
    model, data, *_ = parts
    panel = inside_unet(model, data)
    assert "replay" not in panel.controls and list(panel.controls["skips"].options) == ["on"]


def test_a_channel_of_one_value_is_drawn():
    assert feature_colours(torch.full((3, 3), 0.5)).shape == (3, 3, 3)
