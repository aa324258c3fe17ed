"""Half precision, memory formats, float16 with scaled gradients, and compiled U-Nets, device by device."""

import pytest
import torch

from stablediff_edu.models.unet import UNet
from stablediff_edu.models.unet_2d_condition import UNet2DConditionModel, UNetConfig
from stablediff_edu.training import amp
from stablediff_edu.training.amp import autocast_half
from stablediff_edu.training.loop import NullCallback, train


def train_in(dtype, monkeypatch, checkpoint=None, steps=12):
    monkeypatch.setattr(amp, "half_dtype", lambda device: dtype)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.SiLU(), torch.nn.Linear(16, 1))

    def loss(model, x):
        with autocast_half(True, x.device):
            found = model(x)
        return 1e-6 * (found.float() - x.sum(dim=1, keepdim=True)).square().mean()  # float16 knows nothing below 6e-8

    batches = iter(lambda: torch.randn(32, 4), None)
    training = train(
        model, batches, loss, steps=steps, learning_rate=1e-2, half=True, callback=NullCallback(), ema=None
    )
    return model, training


def test_small_gradients_survive_float16():
    with pytest.MonkeyPatch.context() as patch:
        exact, half = (train_in(dtype, patch)[1].losses for dtype in (None, torch.float16))
    assert half[-1] < 0.9 * half[0]
    assert torch.allclose(torch.tensor(exact), torch.tensor(half), rtol=0.05)


def test_only_float16_is_scaled(monkeypatch):
    for dtype, scaled in ((None, False), (torch.bfloat16, False), (torch.float16, True)):
        monkeypatch.setattr(amp, "half_dtype", lambda device, dtype=dtype: dtype)
        assert amp.make_scaler(True, torch.device("cpu")).is_enabled() == scaled
        assert not amp.make_scaler(False, torch.device("cpu")).is_enabled()


@pytest.mark.parametrize(("capability", "dtype"), [((6, 1), None), ((7, 5), torch.float16), ((8, 0), torch.bfloat16)])
def test_a_gpu_computes_in_what_it_is_fast_with(capability, dtype, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    device = torch.device("cuda", 0)
    assert amp.half_dtype(device) is dtype
    assert amp.memory_format(device) is amp.memory_format(device, True) is torch.channels_last
    assert amp.half_dtype(torch.device("mps")) is None
    assert amp.memory_format(torch.device("mps")) is torch.contiguous_format


@pytest.mark.parametrize("compiled", ["conditional", "plain"])
def test_a_unet_is_compiled_in_one_graph(compiled: str):
    """With the backend that changes nothing: what breaks a graph breaks it there, too."""
    if compiled == "plain":
        unet, inputs = UNet(3, 3, (8, 16), time=16, attention=1), (torch.randn(1, 3, 8, 8), torch.ones(1))
    else:
        config = UNetConfig(
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            num_attention_heads=2,
            cross_attention_dim=8,
            norm_num_groups=4,
        )
        unet, inputs = UNet2DConditionModel(config), (torch.randn(1, 4, 5, 6), torch.ones(1), torch.randn(1, 3, 8))
    with torch.no_grad():
        expected = unet(*inputs)
        assert torch.allclose(torch.compile(unet, backend="eager", fullgraph=True)(*inputs), expected, atol=1e-6)
