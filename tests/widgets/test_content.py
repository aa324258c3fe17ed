"""What the panels show is right: values against the network, the formula or the file that they come from."""

import base64
import io
import json
import re
import sys
from types import ModuleType

import numpy as np
import panel_factory
import pytest
import torch
from PIL import Image

import stablediff_edu as sd
from stablediff_edu.data.scenes.captions import VOCABULARY
from stablediff_edu.layers.attention import attention_weights, causal_mask
from stablediff_edu.models.autoencoder import PCA
from stablediff_edu.notebook.progress import to_uint8
from stablediff_edu.tokenizers.words import WordTokenizer
from stablediff_edu.widgets.ch03_denoising import predict_once
from stablediff_edu.widgets.ch05_latent_map import latent_map_html
from stablediff_edu.widgets.ch06_embedding_projector import nearest_points
from stablediff_edu.widgets.controls import Slider, SliderRange, range_for
from stablediff_edu.widgets.generation import Generation
from stablediff_edu.widgets.latents import LatentPanel
from stablediff_edu.widgets.prompt_input import PromptInput, next_words, parse_prompt
from stablediff_edu.widgets.sketches import SKETCHES

TOKENIZER = WordTokenizer(VOCABULARY, 28)


def pixels(panel, name: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(panel.images[name].value)).convert("RGB"))


def png(panel, name: str) -> bytes:
    return bytes(panel.images[name].value)


# -- controls ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-3, 0.7, 30, 1e4])
def test_a_range_is_round_and_holds_nearly_all(scale: float):
    values = torch.randn(2000, generator=torch.Generator().manual_seed(0)) * scale
    found = range_for(values)
    assert ((values >= found.low) & (values <= found.high)).float().mean() > 0.97
    assert 390 < (found.high - found.low) / found.step < 1010
    assert abs(found.low / found.step - round(found.low / found.step)) < 1e-6
    same = range_for(torch.full((5,), 2.0))
    assert same.low < 2 < same.high


def test_a_slider_snaps_to_its_range():
    slider = Slider("z₁", -1, 2, 0.123, 0.05)
    for asked, got in ((0.123, 0.1), (0.33, 0.35), (5, 2.0), (-5, -1.0), (0.1 + 0.2, 0.3)):
        slider.value = asked
        assert slider.value == got
    assert isinstance(Slider("step", 1, 5, 3.0).value, int) and SliderRange(0, 1, 0.01).snap(0.29) == 0.29


# -- chapters 1 to 4 ---------------------------------------------------------------------------------------------------


def test_the_kernel_editor_convolves_and_its_sum_is_the_pixel():
    editor = panel_factory.make("kernel_editor")
    editor.controls["values"].value = [0.0, 1.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, -1.5]
    assert editor.controls["kernel"].value == "custom"
    image, kernel = editor.inputs["photograph"], torch.tensor(editor.controls["values"].value).view(3, 3)
    after = sd.conv2d(image[None, None], kernel[None, None], padding=1)[0, 0]
    said = re.search(r"\(32, 32\): (\S+)", editor.note.value)[1]
    assert float(said.replace("−", "-")) == pytest.approx(float(after[32, 32]), abs=0.006)
    editor.controls["size"].value = "5 × 5"
    assert len(editor["values"]) == 25
    editor.controls["size"].value = "3 × 3"
    editor.controls["kernel"].value = "box blur"
    assert png(editor, "after") != png(editor, "before")


def test_a_sum_of_zero_is_not_normalized_away():
    editor = panel_factory.make("kernel_editor")
    values, normalize = editor.controls["values"], editor.controls["normalize to sum 1"]
    values.value = [0.1, 0.2, -0.3, 0, 0, 0, 0, 0, 0]  # 5.6e-17 in floating point
    normalize.click()
    assert editor["divide by"] == 1 and "add up to 0" in editor.note.value
    values.value = [1.0, 2.0, 1, 0, 0, 0, 0, 0, 0]
    normalize.click()
    assert editor["divide by"] == 4


def test_the_unet_inspector_shows_the_stage_and_the_output_of_the_chosen_network():
    panel = panel_factory.make("unet_inspector")
    assert list(panel.controls["stage"].parts) == list(panel.models[0].stages())
    assert all(f'<g id="{stage}">' in panel.controls["stage"].svg for stage in panel.models[0].stages())
    panel.controls["stage"].value = "down 1"  # (4, 32, 32); two 3×3 convolutions see 5×5 pixels
    assert panel.controls["channel"].high == 3
    assert "<b>down 1</b>: tensor 4×32×32; one value depends on 5×5 pixels" in panel.note.value
    framed = pixels(panel, "receptive field")
    marked = (framed == (255, 140, 0)).all(-1).nonzero()
    assert marked[0].min() == marked[1].min() == 13 and marked[0].max() == marked[1].max() == 18
    panel.controls["stage"].value = "middle"
    assert "32×32 pixels" in panel.note.value and panel.images["channels"].alt.startswith("12 of 12 channels of middle")
    before = png(panel, "output")
    panel.controls["training snapshot"].value = 1
    assert png(panel, "output") != before and "after training step 0" in panel.note.value
    panel.controls["skip connections"].value = "off"
    assert panel.controls["training snapshot"].disabled and "of the trained network" in panel.note.value
    torch.testing.assert_close(panel.maps["output"], panel.models[1](panel.data.images[:1])[0])


def test_who_knows_the_image_predicts_it():
    schedule, x0 = sd.NoiseSchedule.cosine(), sd.load_fish(1, 32, "synthetic").images
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    for prediction, answer in (("sample", x0), ("epsilon", eps)):
        _, x0_pred, eps_pred = predict_once(lambda xt, t, answer=answer: answer, schedule, x0, eps, 500, prediction)
        torch.testing.assert_close(x0_pred, x0, atol=1e-4, rtol=0)
        torch.testing.assert_close(eps_pred, eps, atol=1e-4, rtol=0)


def test_scrubbing_and_going_back_ask_the_network_nothing():
    panel = panel_factory.make("sampler")
    calls, model = [], panel.model
    panel.model = lambda xt, t: (calls.append(1), model(xt, t))[1]
    panel.controls["sampling step"].value = 2
    panel.controls["seed"].value = 7
    assert len(calls) == 5 and panel.controls["sampling step"].value == 5
    panel.controls["seed"].value = 0
    assert len(calls) == 5 and "NFE): 5" in panel.note.value


# -- chapter 5 ---------------------------------------------------------------------------------------------------------


def test_the_jpeg_note_is_of_the_file():
    photo = sd.sample_image(64)
    decoded, size = sd.widgets.jpeg_roundtrip(photo, 20)
    panel = sd.widgets.JpegPanel(photo)
    assert f"{size:,} bytes" in panel.note.value
    assert np.array_equal(pixels(panel, "JPEG"), to_uint8(decoded))
    assert sd.widgets.jpeg_roundtrip(photo, 95)[1] > size


def test_the_map_decodes_where_the_point_is_once_a_move():
    panel = panel_factory.make("latent_map")
    calls = []
    panel.model.decoder.register_forward_hook(lambda *_: calls.append(1))
    at = [one.snap(one.low + 0.7 * (one.high - one.low)) for one in panel.ranges]
    panel.map.set_state(dict(x=at[0], y=at[1]))  # as a message from the browser does
    assert [panel.controls["z₁"].value, panel.controls["z₂"].value] == at and len(calls) == 1
    assert panel.map.pixels == to_uint8(panel.decode(at)).tobytes()
    panel.map.set_state(dict(x=1e9, y=-1e9))
    assert (panel.map.x, panel.map.y) == (panel.map.map["high"][0], panel.map.map["low"][1])
    panel.controls["t"].value = 0.25
    (a, b), step = panel.map.line, np.array(panel.map.map["step"])
    expected = 0.75 * np.array(a) + 0.25 * np.array(b)
    assert (np.abs(expected - [panel.map.x, panel.map.y]) <= step / 2 + 1e-9).all()


def test_points_lie_where_the_encoder_puts_them_and_the_first_example_is_typical():
    images, labels = panel_factory.blobs()
    panel = LatentPanel("", {}, PCA(images, 2), images, labels)
    assert torch.equal(panel.z, panel.model.encode(images))
    for digit in range(10):
        examples = panel.examples(digit)
        assert (labels[examples] == digit).all() and len(set(examples)) == len(examples)
        far = (panel.z[examples] - panel.z[examples].median(0).values).norm(dim=1)
        assert far[0] == far.min()


def test_reset_leads_back():
    panel = panel_factory.make("latent_sliders")
    before = png(panel, "decoded")
    panel.controls["z₁"].value = panel.controls["z₁"].low
    assert png(panel, "decoded") != before
    panel.controls["reset"].click()
    assert png(panel, "decoded") == before


def test_the_page_holds_the_decoder_and_loads_nothing():
    images, labels = panel_factory.blobs()
    model = panel_factory.autoencoder(2)
    page = latent_map_html(model, images, labels)
    assert not re.search(r"https?:|import |<link|src=", page) and len(page) < 900_000
    layers = json.loads(re.search(r"\}, (\[\[.+\]\])\);", page)[1])
    bias = np.frombuffer(base64.b64decode(layers[-1][1]), np.uint16).astype(np.uint32) << 16
    np.testing.assert_allclose(bias.view(np.float32), model.decoder[-3].bias.detach(), rtol=0.01)  # bfloat16


# -- chapters 6 and 7 --------------------------------------------------------------------------------------------------


def test_neighbors_are_the_nearest_in_all_dimensions():
    panel = panel_factory.make("embedding_projector")
    panel.controls["word"].value = " Queen "
    assert panel.controls["word"].value == "queen"
    far = (panel.directions - panel.directions[panel.cloud.selected]).norm(dim=1)
    assert [index for index, _ in panel.cloud.neighbors] == far.argsort()[1:].tolist()
    assert nearest_points(torch.tensor([[0.0], [3.0], [1.0]]), 0, 2) == [(2, 1.0), (1, 3.0)]
    panel.controls["word"].value = "quen"
    assert "queen" in panel.note.value and panel.cloud.selected == panel.vectors.words.index("queen")


def test_attention_is_the_networks_and_a_causal_mask_looks_back_only():
    panel = panel_factory.make("attention")
    panel.controls["mask"].value = "causal"
    for weights in panel.weights:
        assert torch.equal(weights > 0, causal_mask(len(weights)))


def test_the_matrices_transform_the_vectors():
    panel = panel_factory.make("qkv_matrices")
    panel.canvas.set_state(dict(matrix=[0.512, 0, 0, 1]))
    assert panel.matrices["query"][0, 0] == 0.5 and panel.controls["row 1, column 1"].value == 0.5
    panel.controls["matrix"].value = "key"
    panel.controls["preset"].value = "rotate 90°"
    assert panel.canvas.matrix == [0, -1, 1, 0] and panel["preset"] is None and "not symmetric" in panel.note.value
    query, key = (panel.vectors @ panel.matrices[name].T for name in ("query", "key"))
    torch.testing.assert_close(panel.weights(), attention_weights(query, key))
    panel.controls["reset all"].click()
    assert all(torch.equal(matrix, torch.eye(2)) for matrix in panel.matrices.values())


def test_the_search_finds_the_largest_cosines():
    panel = panel_factory.make("clip_search")
    panel.controls["query"].value = "A large whale, at night."
    assert panel.best == panel.own.argsort(descending=True)[:6].tolist()


def test_axes_stand_where_the_panel_puts_them():
    panel = panel_factory.make("analogies")
    assert panel.plot.axes["ranking"].get_position().x0 == pytest.approx(0.2)  # beside it stand the words


# -- chapter 8 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "read", "note"),
    [
        ("", "", ""),
        ("A red boat, at night!", "a red boat at night", ""),
        ("a red sub", "a red", "“sub”"),
        ("a red sailbaot at night", "a red at night", "did you mean “sailboat”?"),
        ("красная лодка 红船", "", "“красная” is not in the vocabulary"),
        ("red " * 500, " ".join(["red"] * 26), "truncated to 26 words: 474"),
        ("zebra tiger lion wolf bear ", "", "2 more words"),
        ("a red sailb", "a red", ""),  # it is being typed
    ],
)
def test_every_prompt_is_answered(typed: str, read: str, note: str):
    parsed = parse_prompt(typed, TOKENIZER)
    assert parsed.text == read and note in parsed.note and bool(note) == bool(parsed.note)


def test_the_words_offered_follow_in_captions():
    assert {"a", "the"} & set(next_words()[""][:3]) and PromptInput("prompt", TOKENIZER, "").next_words


def test_the_image_is_the_pipelines():
    panel = panel_factory.make("text_to_image")
    expected = panel.pipe("a red boat", steps=4, guidance=4.0, seed=0)[0]
    assert np.array_equal(pixels(panel, "generated"), to_uint8(expected))
    panel.controls["pin for comparison"].click()
    panel.controls["next seed"].click()
    assert panel.controls["seed"].value == 1
    assert np.array_equal(pixels(panel, "pinned"), to_uint8(expected)) and "seed 0" in panel.images["pinned"].title
    assert isinstance(panel.generation, Generation) and panel.pinned.settings["seed"] == 0


def test_without_live_nothing_is_generated_until_the_button_and_the_note_is_true():
    for name, control, value in (("text_to_image", "seed", 9), ("sketch", "seed", 9), ("inpainting", "seed", 9)):
        panel = panel_factory.make(name)
        before, note = panel.generation, panel.note.value
        panel.controls["update live"].value = False
        assert panel.note.value == note  # nothing has changed yet
        panel.controls[control].value = value
        assert panel.generation is before and "press generate" in panel.note.value
        panel.controls["update live"].value = True
        assert panel.generation is not before and panel.generation.settings["seed"] in (value, value + 1)


def test_the_original_of_inpainting_follows_its_prompt():
    panel = panel_factory.make("inpainting")
    panel.controls["update live"].value = False
    before = png(panel, "original")
    panel.controls["prompt"].value = "a white lighthouse at night"
    panel.controls["update live"].value = True
    assert png(panel, "original") != before
    expected = panel.pipe("a white lighthouse at night", steps=4, guidance=4.0, seed=0)[0]
    torch.testing.assert_close(panel.original, expected)
    inside, left = panel.generation.image(), panel.controls["left"].value
    torch.testing.assert_close(inside[:, :, :left], expected[:, :, :left])  # outside the box it stays
    panel.controls["right"].value = 0
    assert "The box is empty" in panel.note.value and panel.note.state == "error"


def test_an_empty_prompt_leaves_the_cross_attention_panel_alive():
    panel = panel_factory.make("cross_attention")
    panel.controls["prompt"].value = ""
    assert "no tokens" in panel.note.value
    panel.controls["weight"].value = 2.0
    assert panel.note.state == "error"  # a sentence, not silence
    panel.controls["prompt"].value = "a large blue whale"
    assert panel.note.state == "" and panel.controls["token"].labels[-1] == "4: whale"
    assert panel.images["attention maps"].alt.count("%") == 4


def test_a_sketch_is_where_the_sampling_begins():
    panel = panel_factory.make("sketch")
    template = png(panel, "generated")
    panel.pad.set_pixels(np.zeros((16, 16, 3), np.uint8))
    assert png(panel, "generated") != template
    panel.controls["reset"].click()
    assert png(panel, "generated") == template
    for sketch in SKETCHES.values():
        assert parse_prompt(sketch.prompt, TOKENIZER) == (sketch.prompt, "")


def test_the_first_cell_tells_colab_to_show_the_panels(monkeypatch):
    called = []
    colab = ModuleType("google.colab")
    colab.output = ModuleType("google.colab.output")
    colab.output.enable_custom_widget_manager = lambda: called.append(1)
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    sd.setup_notebook(quick={"minutes": 1}, full={"minutes": 1})
    assert called == [1]
