"""Chapter 8's last cells with weights of the published kind in place: the notebook's own cells, a small model."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from parity import randomised
from test_pretrained import CONFIG, LENGTH
from vocabulary import write_vocabulary

import stablediff_edu as sd
from stablediff_edu.tokenizers.clip_bpe import CLIPTokenizer

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "08_stable_diffusion.ipynb"


def last_cells() -> list[str]:
    """The cells of claim 8.7 from the search for weights on."""
    cells = [
        cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if "claim-8.7" in cell["metadata"].get("tags", [])
    ]
    sources = ["".join(cell["source"]) for cell in cells]
    return sources[next(number for number, source in enumerate(sources) if "find_local_weights" in source) :]


@pytest.fixture(params=["folder", "single.safetensors"])
def weights(request, tmp_path, monkeypatch) -> Path:
    tokenizer = CLIPTokenizer(*write_vocabulary(tmp_path / "tokenizer"), LENGTH)
    config = replace(CONFIG, text_encoder=replace(CONFIG.text_encoder, vocab_size=len(tokenizer)))
    place = randomised(sd.StableDiffusion(config, tokenizer)).float().save_pretrained(tmp_path / request.param)
    monkeypatch.setenv("STABLEDIFF_WEIGHTS", str(place))
    return place


def test_the_same_cells_draw_with_them(weights: Path, capsys):
    names = dict(sd=sd, time=time, device=torch.device("cpu"), pipe=None)  # the tiny model is not needed
    for source in last_cells():
        exec(source, names)
    assert names["who"] == "Stable Diffusion v1" and names["how"] == dict(steps=20, guidance=7.5)
    assert names["way"][-1].image().isfinite().all()
    panel = eval(last_cells()[-1], names)
    assert panel.generation.settings["guidance"] == 7.5 and panel.note.state != "error"
    assert "are not on this computer" not in capsys.readouterr().out
