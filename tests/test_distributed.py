"""Two and three processes train what one trains with the whole batch: losses, weights, noise, one file, one end."""

import json
import subprocess
import sys

import pytest
import torch
from two_processes import LAUNCH, run_several

from stablediff_edu.__main__ import main
from stablediff_edu.errors import UserError
from stablediff_edu.training import distributed

SCRIPT = """
import json, signal, sys
from pathlib import Path
import torch
from stablediff_edu.data.scenes.captions import VOCABULARY
from stablediff_edu.data.scenes.dataset import make_scenes
from stablediff_edu.models.clip import ImageConfig, CLIPTextConfig
from stablediff_edu.models.autoencoder_kl import VAEConfig
from stablediff_edu.training import distributed
from stablediff_edu.tasks.clip import CLIPTask
from stablediff_edu.training.trained_models import save_trained
from stablediff_edu.training.loop import NullCallback, train
from stablediff_edu.tasks.vae import VAETask

def batches():
    while True:
        x = torch.randn(12, 3, dtype=torch.float64)
        yield distributed.shard_batch(x)

def loss(model, x):
    return (model(x).squeeze(1) - x.prod(dim=1)).square().mean()

def network():
    return torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).double()

def numbers(model):
    return torch.cat([parameter.flatten() for parameter in model.parameters()]).tolist()

def interrupting(model, x):
    calls.append(1)
    if rank == distributed.world_size() - 1 and len(calls) == 3:
        signal.raise_signal(signal.SIGINT)
    return loss(model, x)

torch.set_num_threads(1)
folder, calls = Path(sys.argv[1]), []
with distributed.distributed():
    rank = torch.distributed.get_rank() if distributed.world_size() > 1 else 0
    torch.manual_seed(rank)  # what each begins with is its own; the first one's counts
    model = network()
    training = train(model, batches(), loss, steps=12, learning_rate=1e-2, checkpoint=folder / "progress")
    metadata = dict(command="x", seed=0, data="x", licence="x", result="x")
    save_trained(folder / "weights.safetensors", model, training, **metadata)
    if rank == 0:
        (folder / "progress").unlink()
    config = VAETask(sizes=VAEConfig(3, (4, 8), 1, norm_num_groups=4, scaling_factor=1.0), steps=3, batch_size=6)
    images = torch.rand(9, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    vae = config.train(images, NullCallback())[1]
    text = CLIPTextConfig(len(VOCABULARY) + 2, 28, 16, 1, 2)
    config = CLIPTask(text=text, image=ImageConfig(16, 2, (8, 16), 2), captions_per_image=2, steps=3, batch_size=6)
    clip, clip_record = config.train(make_scenes(6, 16), NullCallback())
    stopped = train(network(), batches(), interrupting, steps=9, callback=NullCallback())
    found = dict(losses=training.losses, weights=numbers(model), vae=vae.losses, clip=clip_record.losses,
                 sharpness=clip.logit_scale.item(), stopped=stopped.steps,
                 interrupted=stopped.interrupted, processes=distributed.world_size())
    cache = folder / "scenes"  # whoever is not the first finds what the first has made
    assert distributed.in_turn(lambda: cache.exists() or cache.touch()) == (rank > 0 or None)
    (folder / f"{rank}.json").write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("script") / "train.py"
    path.write_text(SCRIPT)
    return path


@pytest.fixture(scope="module")
def alone(script, tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("alone")
    subprocess.run([sys.executable, script, folder], check=True, capture_output=True, text=True)
    return json.loads((folder / "0.json").read_text())


@pytest.mark.parametrize("count", [2, 3])
def test_several_processes_train_what_one_trains_with_the_whole_batch(count, alone, script, tmp_path_factory):
    folder, said = run_several(count, script, lambda: tmp_path_factory.mktemp("several"))
    found = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(count)]
    assert alone["processes"] == 1 and all(one == found[0] for one in found) and found[0]["processes"] == count
    for name, near in (("losses", 1e-9), ("weights", 1e-9), ("vae", 1e-5), ("clip", 1e-5), ("sharpness", 1e-6)):
        one, several = (torch.tensor(x[name], dtype=torch.float64) for x in (alone, found[0]))
        assert torch.allclose(one, several, rtol=near, atol=near), name  # the last three compute in float32
    assert found[0]["interrupted"] and found[0]["stopped"] == 3, "all stop after the step in which one was asked to"
    assert {path.name for path in folder.iterdir()} == {
        "weights.safetensors",
        "scenes",
        *(f"{n}.json" for n in range(count)),
    }
    assert said.count("12/12") == 1, "only the first speaks"


# --- what is refused, before anything is trained ----------------------------------------------------------------------


def test_a_task_for_one_process_says_so_at_once(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["train", "ships", "--source", "synthetic", "--steps", "1", "--out", f"{tmp_path}/a.safetensors"]) == 2
    assert "ships is trained by one process" in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "count", "size"), [("tiny-sd", 3, 128), ("scene-vae", 5, 16)])
def test_a_batch_that_cannot_be_shared_out_is_refused_at_once(name, count, size, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", str(count))
    assert main(["train", name, "--steps", "1", "--out", f"{tmp_path}/a.safetensors"]) == 2
    assert f"A batch of {size} cannot be shared out among {count} processes" in capsys.readouterr().err


def test_devices_that_cannot_serve_several_processes_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    for device, text in (
        ("mps", "cannot train on mps; set STABLEDIFF_DEVICE=cpu"),
        ("cuda", "GPUs for 2 processes"),
        ("cuda:0", "one GPU for all processes; set it to cuda"),
    ):
        monkeypatch.setattr(distributed, "pick_device", lambda device=device: torch.device(device))
        with pytest.raises(UserError, match=text), distributed.distributed():
            pass


def test_the_readme_starts_processes_that_need_no_name_of_the_host():
    from pathlib import Path

    readme = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
    assert f"`.venv/bin/torchrun {' '.join(LAUNCH[3:])} 2 -m stablediff_edu train tiny-sd`" in readme
