"""Two processes train what one trains with the whole batch: the same losses, the same weights, one file."""

import json
import subprocess
import sys

import pytest
import torch
from two_processes import run_two

SCRIPT = """
import json, sys
from pathlib import Path
import torch
from stablediff_edu.training import distributed
from stablediff_edu.training.keeping import keep
from stablediff_edu.training.loop import train

def batches():
    while True:
        x = torch.randn(8, 3, dtype=torch.float64)
        yield distributed.own_share(x)

def loss(model, x):
    return (model(x).squeeze(1) - x.prod(dim=1)).square().mean()

torch.set_num_threads(1)
folder = Path(sys.argv[1])
with distributed.processes():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).double()
    training = train(model, batches(), loss, steps=12, learning_rate=1e-2, checkpoint=folder / "progress")
    weights = torch.cat([parameter.flatten() for parameter in model.parameters()]).tolist()
    card = dict(command="x", seed=0, data="x", licence="x", result="x")
    keep(folder / "weights.safetensors", model, training, folder / "progress", **card)
    place = folder / f"{torch.distributed.get_rank() if distributed.count() > 1 else 0}.json"
    place.write_text(json.dumps([training.losses, weights, distributed.count()]))
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """What one process, and each of two, has found; and what the two have printed."""
    script = tmp_path_factory.mktemp("script") / "train.py"
    script.write_text(SCRIPT)
    alone = tmp_path_factory.mktemp("alone")
    subprocess.run([sys.executable, script, alone], check=True, capture_output=True, text=True)
    both, said = run_two(script, lambda: tmp_path_factory.mktemp("both"))
    return [json.loads(path.read_text()) for path in (alone / "0.json", both / "0.json", both / "1.json")], both, said


def test_two_processes_have_the_losses_and_the_weights_of_one_with_the_whole_batch(runs):
    (one, first, second), _, _ = runs
    assert (one[2], first[2], second[2]) == (1, 2, 2)
    assert first[:2] == second[:2]
    for alone, together in zip(one[:2], first[:2], strict=True):
        assert torch.allclose(*(torch.tensor(numbers, dtype=torch.float64) for numbers in (alone, together)), rtol=1e-9)
    assert first[0][-1] < first[0][0]


def test_only_the_first_speaks_and_writes(runs):
    _, folder, said = runs
    assert {path.name for path in folder.iterdir()} == {"weights.safetensors", "0.json", "1.json"}
    assert said.count("12/12") == 1
