"""Synthetic digits: decided by seed and number, laid out as MNIST's are; and the choice of source."""

import numpy as np
import pytest
import torch

from stablediff_edu.data.digits import synthetic as synthetic_digits
from stablediff_edu.data.digits.dataset import describe_digits, load_digits, num_mnist_images, render_digits
from stablediff_edu.data.digits.strokes import POINTS, STROKE_TEMPLATES, parse_template
from stablediff_edu.errors import UserError

EVERY_WAY = [(label, way) for label, ways in STROKE_TEMPLATES.items() for way in dict.fromkeys(ways)]


@pytest.fixture(scope="module")
def digits():
    return render_digits(1000)


# --- what is drawn -------------------------------------------------------------------------------------------------


def test_they_have_the_shapes_of_mnist_and_every_ten_holds_each_digit_once(digits):
    assert digits.images.shape == (1000, 1, 28, 28) and digits.images.dtype == torch.float32
    assert (digits.images.min(), digits.images.max()) == (-1, 1)
    assert digits.labels.dtype == torch.int64 and digits.source == "synthetic digits" and len(digits) == 1000
    assert digits.labels.reshape(100, 10).sort(dim=1).values.equal(torch.arange(10).expand(100, 10))
    assert len({tuple(ten.tolist()) for ten in digits.labels.reshape(100, 10)}) > 90  # not the same order each time


@pytest.mark.parametrize("count", [1, 99, 101])
def test_a_digit_does_not_depend_on_how_many_are_drawn(digits, count):
    few = render_digits(count)
    assert few.images.equal(digits.first(count).images) and few.labels.equal(digits.first(count).labels)


def test_no_digit_comes_twice_nor_with_another_seed_nor_among_those_to_test_on(digits):
    many = torch.cat([digits.images, render_digits(1000, seed=1).images, render_digits(1000, train=False).images])
    assert len({image.numpy().tobytes() for image in many}) == 3000


def test_the_paper_is_black_and_a_digit_is_centred_by_its_mass_and_fits_its_box(digits):
    ink = (digits.images[:, 0] + 1) / 2  # (N, 28, 28)
    assert (ink[:, [0, -1]] == 0).float().mean() > 0.99 and (ink[:, :, [0, -1]] == 0).float().mean() > 0.99
    places = torch.arange(28.0)
    mass = ink.sum(dim=(1, 2))
    for axis in (1, 2):
        center = (ink.sum(dim=3 - axis) * places).sum(dim=1) / mass
        assert abs(center.mean() - 14) < 0.1 and abs(center - 14).max() < 2.5  # MNIST's lie at pixel 14
        extent = (ink.amax(dim=3 - axis) > 0.5).sum(dim=1)
        assert extent.min() >= 1 and extent.max() <= 21
    longer = torch.maximum((ink.amax(dim=1) > 0.2).sum(dim=1), (ink.amax(dim=2) > 0.2).sum(dim=1))
    assert longer.min() >= 18 and longer.max() <= 22


def test_they_have_as_much_ink_and_slant_and_width_as_real_ones(digits, real_data, monkeypatch):
    monkeypatch.setenv("STABLEDIFF_DATA", str(real_data))
    measured = []
    for images in (digits.images, load_digits(1000).images):
        ink = (images[:, 0] + 1) / 2
        wide = (ink.amax(dim=1) > 0.2).sum(dim=1).float()
        gray = ((ink > 0.05) & (ink < 0.95)).float().mean()
        y, x = torch.meshgrid(torch.arange(28.0) - 14, torch.arange(28.0) - 14, indexing="ij")
        slant = -(ink * x * y).sum(dim=(1, 2)) / (ink * y * y).sum(dim=(1, 2))
        values = ink.mean(), ink.mean(dim=(1, 2)).std(), gray, wide.mean(), wide.std(), slant.std()
        measured.append([value.item() for value in values])
    assert measured[0] == pytest.approx(measured[1], rel=0.25)


# --- strokes and ink -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("label", "way"), EVERY_WAY, ids=lambda value: str(value)[:12])
def test_points_lie_close_together_on_strokes_through_all_handles(label, way):
    one = parse_template(way)
    points = one.weights @ one.handles
    assert points.shape == (POINTS, 2) and np.allclose(one.weights.sum(axis=1), 1)
    steps = np.sort(np.linalg.norm(np.diff(points, axis=0), axis=1))
    lifts = way.count("|")
    even = one.length / POINTS
    assert steps[: POINTS - 1 - lifts].max() < 1.5 * even  # but for where the pen is lifted
    distance = np.linalg.norm(one.handles[:, None] - points[None], axis=-1).min(axis=1)
    assert distance.max() < 1.5 * even


def test_curves_that_name_one_point_still_meet_there_after_it_has_moved():
    flag = parse_template("0,4 5,0 / 5,14 | 0,14 5,14 10,14")
    assert len(flag.handles) == 5  # 5,0 and 5,14 are shared
    moved = flag.handles + np.random.default_rng(0).normal(0, 0.3, flag.handles.shape)
    points = flag.weights @ moved
    for shared in (1, 2):
        near = np.sort(np.linalg.norm(points - moved[shared], axis=1))
        assert near[1] < 0.15  # both curves come close to it


def test_a_smooth_curve_has_no_corner_and_a_corner_is_sharp():
    def sharpest(way):
        one = parse_template(way)
        steps = np.diff(one.weights @ one.handles, axis=0)
        steps = steps[np.linalg.norm(steps, axis=1) > 1e-9]
        angles = np.arctan2(steps[:, 1], steps[:, 0])
        return np.abs(np.angle(np.exp(1j * np.diff(angles)))).max()

    assert sharpest("0,0 10,0 10,10") < 0.5 and sharpest("0,0 10,0 / 10,10") > 1.4


def test_ink_is_white_within_the_pens_radius_and_fades_within_a_pixel():
    steps = np.arange(28) - 13.5
    y, x = np.meshgrid(steps, steps, indexing="ij")
    for radius in (1.0, 2.0, 3.0):
        places = np.array([[[3.2, -5.1], [-6.0, 2.4]]])
        image = synthetic_digits._rasterize(places, np.full((1, 2), radius), np.random.default_rng(0))[0]
        outside = np.min([np.hypot(x - a, y - b) for a, b in places[0]], axis=0) - radius
        assert (image[outside < -0.7] == 255).all() and (image[outside > 1] == 0).all()
        assert image[abs(outside) < 0.2].min() > 0 and image[abs(outside) < 0.2].max() < 255


# --- the choice of source ------------------------------------------------------------------------------------------


def test_drawn_where_no_real_ones_are_there_and_on_request(tmp_path, monkeypatch, real_data):
    monkeypatch.setenv("STABLEDIFF_DATA", str(tmp_path))
    assert load_digits(20).source == "synthetic digits" and num_mnist_images() == 0
    assert describe_digits().endswith("real ones: python -m stablediff_edu fetch mnist")
    monkeypatch.setenv("STABLEDIFF_DATA", str(real_data))
    assert load_digits(20).source == "MNIST" and num_mnist_images() == 60_000
    drawn, real = load_digits(20, "synthetic", train=False, seed=4), load_digits(20, "mnist")
    assert drawn.images.equal(render_digits(20, seed=4, train=False).images) and drawn.source == "synthetic digits"
    assert drawn.images.shape == real.images.shape and drawn.images.dtype == real.images.dtype
    assert drawn.labels.dtype == real.labels.dtype and real.images.min() == -1 and real.images.max() == 1
    for wrong, match in (
        (dict(source="emnist"), "choose auto, synthetic or mnist"),
        (dict(count=0), "at least 1, got 0"),
    ):
        with pytest.raises(UserError, match=match):
            load_digits(**wrong)
