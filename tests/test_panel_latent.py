"""The panels of chapter 5: the map with its point, the walk, a slider for each of many numbers, the map as a page."""

import base64
import io
import json
import re
import time

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from stablediff_edu.display.live import to_bytes
from stablediff_edu.display.panels.encoded import EncodedDigits
from stablediff_edu.display.panels.fine_slider import FineSlider, NumberRange, range_of
from stablediff_edu.display.panels.latent_pad import latent_pad
from stablediff_edu.display.panels.latent_page import pad_page, show_pad_page
from stablediff_edu.display.panels.latent_sliders import latent_sliders
from stablediff_edu.errors import CourseError
from stablediff_edu.models.autoencoder import PCA, Autoencoder

CLASSES, EACH = 10, 12


def blobs() -> tuple[torch.Tensor, torch.Tensor]:
    """Spots, one place for each class: (120, 1, 28, 28) in [-1, 1], and the classes, (120,)."""
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(CLASSES).repeat(EACH)
    centres = torch.rand(CLASSES, 2, generator=random) * 16 + 6
    middle = centres[labels] + torch.randn(len(labels), 2, generator=random)
    rows, columns = torch.meshgrid(torch.arange(28), torch.arange(28), indexing="ij")
    far = (rows - middle[:, :1, None]) ** 2 + (columns - middle[:, 1:, None]) ** 2  # (120, 28, 28)
    return ((-far / 20).exp() * 2 - 1).unsqueeze(1), labels


PICTURES, LABELS = blobs()


@pytest.fixture(scope="module")
def model() -> Autoencoder:
    """A network that has learned a little: a picture changes when its numbers do."""
    torch.manual_seed(0)
    model = Autoencoder(2, (64, 32))
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(60):
        loss = (model(PICTURES) - PICTURES).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


@pytest.fixture
def panel(model):
    return latent_pad(model, PICTURES, LABELS)


def decoded(model, *numbers: float) -> bytes:
    with torch.no_grad():
        return to_bytes(model.decode(torch.tensor([numbers]))[0]).tobytes()


def changed(panel, act) -> set[str]:
    """What is another after doing something: the decoded picture, the line of the walk, small pictures, the note."""

    def shown():
        images = {name: bytes(image.value) for name, image in panel.images.items()}
        return images | dict(pixels=panel.pad.pixels, line=panel.pad.line, note=panel.note.value)

    before = shown()
    act()
    return {name for name, value in shown().items() if value != before[name]}


def move(panel, name: str, value) -> None:
    panel.controls[name].value = value


# -- the map -----------------------------------------------------------------------------------------------------------


def test_the_panel_has_its_controls_and_draws_at_once(panel, model):
    assert set(panel.controls) == {"x", "y", "walk", "from", "another from", "to", "another to"}
    assert panel.pad.pixels == decoded(model, panel.pad.x, panel.pad.y)
    assert all(bytes(image.value).startswith(b"\x89PNG") for image in panel.images.values())
    assert (panel.controls["from"].value, panel.controls["to"].value) == (0, 1)


def test_the_map_shows_each_digit_where_the_encoder_puts_it(panel, model):
    with torch.no_grad():
        codes = model.encode(PICTURES)
    found = torch.tensor(panel.pad.map["points"])  # (points, 3): x, y, digit
    assert len(found) >= 0.9 * len(PICTURES)
    far = (found[:, None, :2] - codes[None]).norm(dim=2)  # (points, N)
    assert far.min(1).values.max() < 1e-3
    assert torch.equal(found[:, 2].long(), LABELS[far.argmin(1)])


def test_every_control_moves_over_its_range(panel, model):
    for name in ("x", "y", "walk"):
        slider = panel.controls[name]
        for value in np.linspace(slider.low, slider.high, 9):
            slider.value = value
            assert abs(slider.value - value) <= slider.step / 2 + 1e-9
            assert panel.pad.pixels == decoded(model, panel.pad.x, panel.pad.y)
    for name in ("from", "to"):
        for digit in panel.controls[name].options:
            move(panel, name, digit)
            assert np.isfinite(panel.pad.line).all()
        panel.controls[f"another {name}"].click()
    assert "nan" not in panel.note.value


def test_each_control_changes_what_it_is_about(panel):
    middle = [np.mean(ends) for ends in zip(panel.pad.map["low"], panel.pad.map["high"], strict=True)]
    assert changed(panel, lambda: move(panel, "x", middle[0])) == {"pixels"}
    assert changed(panel, lambda: move(panel, "y", middle[1])) == {"pixels"}
    assert changed(panel, lambda: move(panel, "walk", 0.5)) == {"pixels", "note"}
    assert changed(panel, lambda: move(panel, "from", 4)) == {"pixels", "line", "from"}
    assert changed(panel, lambda: move(panel, "to", 7)) == {"pixels", "line", "to"}
    assert changed(panel, panel.controls["another from"].click) == {"pixels", "line", "from"}
    assert changed(panel, panel.controls["another to"].click) == {"pixels", "line", "to"}


def test_what_the_browser_moves_the_sliders_follow_and_it_is_decoded_once(panel, model):
    calls = []
    hook = model.decoder.register_forward_hook(lambda *_: calls.append(1))
    ranges = [NumberRange(*ends) for ends in zip(*(panel.pad.map[end] for end in ("low", "high", "step")), strict=True)]
    place = [one.nearest(one.low + 0.7 * (one.high - one.low)) for one in ranges]
    panel.pad.set_state(dict(x=place[0], y=place[1]))  # as a message from the browser does
    hook.remove()
    assert [panel.controls["x"].value, panel.controls["y"].value] == place
    assert len(calls) == 1
    assert panel.pad.pixels == decoded(model, *place)


def test_the_point_cannot_leave_the_map(panel):
    panel.pad.set_state(dict(x=1e9, y=-1e9))
    assert (panel.pad.x, panel.pad.y) == (panel.pad.map["high"][0], panel.pad.map["low"][1])


def test_the_walk_goes_straight_from_one_real_digit_to_another(panel, model):
    move(panel, "from", 2)
    move(panel, "to", 6)
    with torch.no_grad():
        codes = model.encode(PICTURES).tolist()
    (start, end), step = panel.pad.line, panel.pad.map["step"]
    for code, digit in ((start, 2), (end, 6)):
        nearest = int(np.square(np.subtract(codes, code)).sum(1).argmin())
        assert LABELS[nearest] == digit
    for share in (0, 0.25, 1):
        move(panel, "walk", share)
        wanted = (1 - share) * np.array(start) + share * np.array(end)
        assert (np.abs(wanted - [panel.pad.x, panel.pad.y]) <= np.array(step) / 2 + 1e-9).all()


def test_another_example_comes_round_to_the_first(panel):
    panel = latent_pad(PCA(PICTURES[:30]), PICTURES[:30], LABELS[:30])  # three of each class at most
    first = panel.pad.line[0]
    seen = []
    while first not in seen and len(seen) < 5:
        panel.controls["another from"].click()
        seen.append(panel.pad.line[0])
    assert seen[-1] == first and 1 < len(seen) <= 3


def test_decoding_takes_no_time():
    digits = EncodedDigits(Autoencoder(2, (256, 128)), PICTURES, LABELS)
    panel = latent_pad(digits.model, PICTURES, LABELS)

    def median(act) -> float:
        times = []
        for value in np.linspace(panel.pad.map["low"][0], panel.pad.map["high"][0], 31):
            begun = time.process_time()
            act(value)
            times.append(1000 * (time.process_time() - begun))
        return sorted(times)[15]

    decoding, moving = median(lambda x: digits.decode((x, 0.0))), median(lambda x: setattr(panel.pad, "x", x))
    print(f"\nthe decoder: {decoding:.2f} ms; a whole move in the kernel: {moving:.2f} ms")
    assert decoding < 50  # measured: 0.3


def test_a_network_of_more_numbers_is_sent_to_the_sliders():
    with pytest.raises(CourseError, match="room for 2 numbers, and this network makes 5; use latent_sliders"):
        latent_pad(Autoencoder(5, (8,)), PICTURES, LABELS)


# -- ranges and sliders ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-3, 0.7, 1, 30, 1e4])
def test_a_range_is_round_and_holds_nearly_all(scale: float):
    values = torch.randn(2000, generator=torch.Generator().manual_seed(0)) * scale
    found = range_of(values)
    assert ((values >= found.low) & (values <= found.high)).float().mean() > 0.97
    steps = (found.high - found.low) / found.step
    assert 390 < steps < 1010
    assert abs(found.low / found.step - round(found.low / found.step)) < 1e-6
    assert len(f"{found.step:g}") <= 6  # 0.05, not 0.0478


def test_values_that_are_all_the_same_have_a_range():
    assert range_of(torch.full((5,), 2.0)).low < 2 < range_of(torch.full((5,), 2.0)).high


def test_a_slider_stands_only_where_its_range_knows_a_place():
    slider = FineSlider("number 1", NumberRange(-1.0, 2.0, 0.05), 0.123)
    assert slider.value == 0.1
    for asked, got in ((0.33, 0.35), (5, 2.0), (-5, -1.0), (0.1 + 0.2, 0.3)):
        slider.value = asked
        assert slider.value == got


@pytest.mark.parametrize("count", [5, 10])
def test_each_number_has_a_slider_which_changes_the_picture(count: int):
    panel = latent_sliders(PCA(PICTURES, count), PICTURES, LABELS)
    names = [f"number {n}" for n in range(1, count + 1)]
    assert set(panel.controls) == {*names, "start from", "another", "back"}
    original = bytes(panel.images["original"].value)
    for name in names:
        slider, before = panel.controls[name], bytes(panel.images["decoded"].value)
        for value in (slider.low, slider.high):
            slider.value = value
            assert bytes(panel.images["decoded"].value) != before
    assert bytes(panel.images["original"].value) == original
    assert "nan" not in panel.note.value


def test_back_leads_back_and_another_digit_begins_anew():
    panel = latent_sliders(PCA(PICTURES, 5), PICTURES, LABELS)

    def shown():
        return [bytes(image.value) for image in panel.images.values()] + [panel.note.value]

    begun = shown()
    for n in range(1, 6):
        panel.controls[f"number {n}"].value += 1
    assert shown() != begun
    panel.controls["back"].click()
    assert shown() == begun
    panel.controls["start from"].value = 8
    assert not set(shown()) & set(begun)
    panel.controls["another"].click()
    panel.controls["start from"].value = 3
    assert shown() == begun


def test_the_note_gives_the_error_of_the_pictures_shown():
    panel = latent_sliders(PCA(PICTURES, 10), PICTURES, LABELS)
    panel.controls["number 1"].value = 1e3  # far off, so that there is an error

    def pixels(name: str) -> np.ndarray:
        picture = np.asarray(Image.open(io.BytesIO(panel.images[name].value)).convert("L"), dtype=float)
        return picture[::8, ::8] / 255  # enlarged to 224

    error = np.square(pixels("original") - pixels("decoded")).mean()
    said = float(re.search(r"original: ([\d.]+) per pixel", panel.note.value)[1])
    assert said == pytest.approx(error, rel=0.05)


def test_the_digit_shown_first_is_encoded_like_most_of_its_kind():
    digits = EncodedDigits(PCA(PICTURES, 2), PICTURES, LABELS)
    for digit in digits.digits():
        examples = digits.examples(digit)
        assert sorted(examples) == sorted(set(examples))
        assert (LABELS[examples] == digit).all()
        codes = digits.codes[examples]
        far = (codes - codes.median(0).values).norm(dim=1)
        assert far[0] == far.min()


# -- the page without Python -------------------------------------------------------------------------------------------


def test_the_page_holds_the_decoder_and_asks_for_nothing_else(model):
    page = pad_page(model, PICTURES, LABELS)
    assert not re.search(r"https?:|import |<link|src=", page)
    weights = json.loads(re.search(r'\{"sizes".+?\}', page)[0])
    assert weights["sizes"] == [[2, 32], [32, 64], [64, 784]]
    numbers = np.frombuffer(base64.b64decode(weights["numbers"]), "<f2").astype(np.float32)
    layers = [layer for layer in model.decoder if isinstance(layer, nn.Linear)]
    true = torch.cat([part.flatten() for layer in layers for part in (layer.weight, layer.bias)]).detach().numpy()
    assert np.abs(numbers - true).max() <= np.abs(true).max() / 1000


def test_a_page_of_the_size_of_the_course_is_small():
    page = pad_page(Autoencoder(2, (256, 128)), PICTURES, LABELS)
    print(f"\nthe page without Python: {len(page) / 1000:.0f} kB")
    assert len(page) < 900_000


def test_a_decoder_that_the_page_cannot_run_gets_one_sentence():
    with pytest.raises(CourseError, match="give it an Autoencoder"):
        pad_page(PCA(PICTURES, 2), PICTURES, LABELS)


def test_the_page_in_a_notebook_is_folded_up_and_has_a_caption(model, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, **how: shown.append(bundle))
    show_pad_page(model, PICTURES, LABELS)
    (bundle,) = shown
    assert bundle["text/html"].startswith("<details><summary")
    assert "<em>Open the line above" in bundle["text/html"]
    assert "where no Python runs" in bundle["text/plain"]
