"""Every panel with small untrained networks: what tests, screenshots and benchmarks of panels share.

NAMES holds all panels: a panel of stablediff_edu/widgets/ that is not in it, or has no row in the tables of
widgets/test_base.py and browser/test_panels.py, fails there.
"""

import re
from functools import cache
from pathlib import Path

import torch
from torch import nn

import stablediff_edu as sd
from stablediff_edu import widgets
from stablediff_edu.diffusion.schedule import NoiseSchedule
from stablediff_edu.models.autoencoder_kl import VAEConfig
from stablediff_edu.models.unet_2d_condition import UNetConfig
from stablediff_edu.pipelines.stable_diffusion import StableDiffusionConfig

WORDS = ("king", "queen", "man", "woman", "london", "england", "tokyo", "japan", "tea", "the")


device = torch.device("cpu")  # where the networks of the next panel lie


def make(name: str, on: torch.device | str = "cpu", **options):
    """Return a new panel of this name; every call returns an equal one."""
    global device
    device = torch.device(on)
    torch.manual_seed(0)
    return globals()[name](**options)


def kernel_editor():
    return sd.widgets.KernelEditor(64)


def unet_inspector():
    data = sd.load_fish(4, 32, "synthetic")
    snapshots = [(step, torch.rand(4, 1, 32, 32) * (step + 1) / 10) for step in (0, 5, 9)]
    models = [sd.UNet(channels=(4, 8, 12), skips=skips).to(device).eval() for skips in (True, False)]
    return sd.widgets.UNetInspector(models[0], data, models[1], snapshots)


def position_encoding():
    return sd.widgets.PositionPanel(positions=400)


def denoising():
    images = sd.load_fish(1, 64, "synthetic", seed=3).images
    return sd.widgets.DenoisingPanel(time_unet(), NoiseSchedule.cosine(), images, "v_prediction")


def sampler():
    return sd.widgets.SamplerPanel(time_unet(), NoiseSchedule.cosine(), 16, "v_prediction", count=4, steps=5)


def jpeg():
    return sd.widgets.JpegPanel(sd.sample_image(128))


def latent_map():
    return sd.widgets.LatentMap(autoencoder(2), *blobs())


def latent_sliders():
    return sd.widgets.LatentSliders(autoencoder(5), *blobs())


def embedding_projector():
    return sd.widgets.EmbeddingProjector(vectors(), {"people": WORDS[:4], "places": WORDS[4:8]}, "king")


def analogies():
    return sd.widgets.AnalogyPanel(vectors())


def attention():
    from stablediff_edu.data.sentences.negation import CLASSES, WORDS, encode
    from stablediff_edu.models.sentence_classifier import SentenceClassifier

    model = SentenceClassifier(len(WORDS), heads=2).eval()
    nn.init.normal_(model.words.weight)
    return sd.widgets.AttentionPanel(model.to(device), encode, WORDS, CLASSES)


def qkv_matrices():
    film = {"film": (1.4, 0.3), "soup": (1.1, -0.5), "good": (0.4, 1.3), "bad": (0.3, -1.2), "not": (-1.2, 0.8)}
    return sd.widgets.QKVPanel(film)


def clip_search():
    from stablediff_edu.models.clip import CLIP, ImageConfig
    from stablediff_edu.tasks.clip import SMALL_TEXT, tokenizer_of

    clip = CLIP(SMALL_TEXT, ImageConfig(size=32, channels=(8, 16))).to(device).eval()
    return sd.widgets.ClipSearch(clip, tokenizer_of(SMALL_TEXT), sd.make_scenes(20, 32))


def text_to_image(**options):
    return sd.widgets.TextToImagePanel(pipe(), "a red boat", **{"steps": 4} | options)


def training_replay():
    return sd.widgets.TrainingReplay([(step, torch.rand(6, 3, 16, 16) * 2 - 1) for step in (0, 50, 100)], columns=3)


def cross_attention():
    return sd.widgets.CrossAttentionPanel(pipe(), "a red sailboat at night", steps=3)


def sketch():
    return sd.widgets.SketchPanel(pipe(), steps=4)


def inpainting():
    return sd.widgets.InpaintingPanel(pipe(), "a red sailboat on a calm sea", "a yellow duck on a calm sea", steps=4)


NAMES = (
    "kernel_editor", "unet_inspector", "position_encoding", "denoising", "sampler", "jpeg", "latent_map",
    "latent_sliders", "embedding_projector", "analogies", "attention", "qkv_matrices", "clip_search", "text_to_image",
    "training_replay", "cross_attention", "sketch", "inpainting",
)  # fmt: skip


def files() -> set[str]:
    """Return the panels that there are, by their files: ch01_kernel_editor.py is kernel_editor."""
    paths = Path(widgets.__file__).parent.glob("ch*.py")
    panel = re.compile(r"^class \w+\(\w*Panel\):", re.MULTILINE)
    return {path.stem.partition("_")[2] for path in paths if panel.search(path.read_text(encoding="utf-8"))}


# -- models and data ---------------------------------------------------------------------------------------------------


def time_unet() -> nn.Module:
    return sd.UNet(3, 3, (8, 16), time=16).to(device).eval()


def autoencoder(dimensions: int) -> nn.Module:
    """A network whose images differ visibly, as those of a trained one do."""
    model = sd.Autoencoder(dimensions).eval()
    for parameter in model.parameters():
        parameter.data *= 2.5
    return model.to(device)


@cache
def blobs() -> tuple[torch.Tensor, torch.Tensor]:
    """Spots, one position for each of ten classes: (120, 1, 28, 28) in [-1, 1], and the classes, (120,)."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(10).repeat(12)
    centers = torch.rand(10, 2, generator=rng) * 16 + 6
    center = centers[labels] + torch.randn(len(labels), 2, generator=rng)
    rows, columns = torch.meshgrid(torch.arange(28), torch.arange(28), indexing="ij")
    far = (rows - center[:, :1, None]) ** 2 + (columns - center[:, 1:, None]) ** 2  # (120, 28, 28)
    return ((-far / 20).exp() * 2 - 1).unsqueeze(1), labels


def vectors() -> sd.WordVectors:
    """Words made of parts, so that both analogies come out: king = royal + he."""
    royal, he, she, city, british, far, *noise = torch.eye(10)
    made = [royal + he, royal + she, he, she, city + british, british, city + far, far, noise[0], noise[1]]
    untied = 0.02 * torch.randn(10, 10, generator=torch.Generator().manual_seed(0))
    return sd.WordVectors(WORDS, torch.stack(made) + untied)


def pipe() -> sd.StableDiffusion:
    return _pipe(device)


@cache
def _pipe(on: torch.device) -> sd.StableDiffusion:
    from stablediff_edu.data.scenes.captions import VOCABULARY
    from stablediff_edu.models.clip import CLIPTextConfig
    from stablediff_edu.tokenizers.words import WordTokenizer

    config = StableDiffusionConfig(
        CLIPTextConfig(
            vocab_size=len(VOCABULARY) + 2,
            max_position_embeddings=28,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
        ),
        UNetConfig(
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            num_attention_heads=2,
            cross_attention_dim=16,
            norm_num_groups=4,
        ),
        VAEConfig(block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4),
        prediction="v_prediction",
        size=16,
        schedule="cosine",
    )
    torch.manual_seed(0)
    return sd.StableDiffusion(config, WordTokenizer(VOCABULARY, 28)).to(on).eval()
