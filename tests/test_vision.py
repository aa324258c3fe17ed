"""torchvision, with a torch that it was built for and with one that it was not."""

import subprocess
import sys

import pytest
import torch

from stablediff_edu import vision
from stablediff_edu.errors import UserError

# In a process of its own: how the plain import ends here, and that the course's import works after that as well.
SCRIPT = """
try:
    import torchvision
    print("plain import works")
except RuntimeError as error:
    print(error)
from stablediff_edu.vision import import_torchvision
torchvision = import_torchvision()
assert torchvision is import_torchvision()
print("version", torchvision.__version__)
"""


def test_after_a_failed_import():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    plain, version = done.stdout.strip().splitlines()
    assert plain == "plain import works" or "torchvision::nms does not exist" in plain
    assert version.startswith("version 0.")


def test_data_sets_transforms_and_utilities_work():
    torchvision = vision.import_torchvision()
    data = torchvision.datasets.FakeData(size=3, image_size=(3, 20, 30), transform=torchvision.transforms.ToTensor())
    assert data[0][0].shape == (3, 20, 30)
    assert torchvision.utils.make_grid(torch.zeros(4, 3, 8, 8), nrow=2).shape == (3, 22, 22)
    assert torchvision.transforms.Resize((4, 5))(torch.rand(3, 20, 30)).shape == (3, 4, 5)
    from torchvision.transforms import v2

    assert v2.RandomHorizontalFlip(p=1.0)(torch.tensor([[[1, 2]]])).tolist() == [[[2, 1]]]


@pytest.mark.parametrize(
    ("error", "match"),
    [(ImportError("no such"), "cannot be imported"), (RuntimeError("CUDA versions differ"), "does not fit this torch")],
)
def test_other_failures_get_one_sentence(monkeypatch, error, match):
    def fail(name):
        raise error

    monkeypatch.setattr(vision.importlib, "import_module", fail)
    with pytest.raises(UserError, match=match):
        vision.import_torchvision()
