"""The pretrained models compute what they did when they were stored; other processors round differently, by 1e-4."""

import golden
import pytest
import torch

from stablediff_edu.io.checkpoint import PRETRAINED

# 8 values evenly spread over the output on fixed inputs, see golden.MODELS
VALUES = {
    "cifar10-all": [-0.66223, 0.24683, 0.64013, 0.48102, -0.01324, 0.00795, 0.59505, 0.42993],
    "clip-scenes": [-0.30245, -0.71911, -0.36199, 1.36748, 1.34467, -0.09670, 0.02959, 0.00610],
    "digit-vae": [0.95226, -0.88194, 0.92340, -1.01829, -0.93871, -0.00676, 0.03478, -0.83467],
    "digit_classifier": [-1.31920, 0.42195, -1.38613, -0.64703, -2.62099, -0.81380, 0.11614, -0.90285],
    "fish": [0.02256, 0.14034, 0.90031, 0.31759, 0.05842, 0.52780, 0.51880, 0.05688],
    "fish_no_skips": [-0.07124, -0.05515, 0.08137, -0.04916, -0.05787, 0.84315, 0.84580, -0.06791],
    "gutenberg-words": [-0.07812, 0.10663, 0.01560, 0.11145, 0.36694, 0.50342, 0.04816, -0.09039],
    "latent-digits": [-0.36750, 3.25535, 3.83548, 2.09418, 0.33339, -0.52367, -0.06061, -0.29990],
    "one-fish": [-1.14922, 0.49261, -0.31714, 1.56996, 0.58113, -0.31300, 0.03998, 1.04004],
    "scene-vae": [-0.73455, 0.01956, -0.07679, -0.32921, 0.01535, 0.51070, -0.06733, -0.12397],
    "scene_classifier": [-3.20957, -6.09413, -7.88405, -2.88514, -0.76497, 5.57992, 4.63350, 10.00193],
    "ship_classifier": [-3.53532, -3.53532, -3.53532, -3.53532, -3.53532, -3.53532, -3.53532, -3.97806],
    "ships": [-0.51568, -0.04405, 0.61113, 0.80544, 0.00485, 0.11366, 0.66836, 0.51188],
    "tiny-sd": [-0.37103, -0.34001, -0.23303, -0.24622, -0.81846, -0.84397, -0.62438, -0.62363],
}


def test_every_pretrained_file_is_listed():
    assert sorted(golden.MODELS) == sorted(path.stem for path in PRETRAINED.glob("*.safetensors"))


@pytest.mark.parametrize("name", golden.MODELS)
def test_a_pretrained_model_computes_what_it_did(name: str, monkeypatch):
    monkeypatch.setenv("STABLEDIFF_DEVICE", "cpu")
    output = golden.MODELS[name]().flatten()
    chosen = output[torch.linspace(0, len(output) - 1, 8).long()]
    torch.testing.assert_close(chosen, torch.tensor(VALUES[name]), atol=1e-4, rtol=1e-4)
