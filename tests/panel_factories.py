"""Every panel that computes with a network or with tensors, with small ones: name -> call(device) -> panel."""

import tiny_tasks
import torch

from stablediff_edu.datasets import sentences
from stablediff_edu.datasets.digits import draw_digits
from stablediff_edu.diffusion.schedule import Schedule
from stablediff_edu.display.panels.attention import attention_panel
from stablediff_edu.display.panels.inpainting import inpainting_panel
from stablediff_edu.display.panels.latent_pad import latent_pad
from stablediff_edu.display.panels.latent_sliders import latent_sliders
from stablediff_edu.display.panels.noise import noise_panel
from stablediff_edu.display.panels.prompt_box import prompt_box
from stablediff_edu.display.panels.replay import replay_panel
from stablediff_edu.display.panels.sampler import sampler_panel
from stablediff_edu.display.panels.similarity import similarity_panel
from stablediff_edu.display.panels.sketch import sketch_panel
from stablediff_edu.display.panels.unet import inside_unet
from stablediff_edu.display.panels.words_on_picture import words_on_picture
from stablediff_edu.models.autoencoder import Autoencoder
from stablediff_edu.models.sentence_reader import SentenceReader
from stablediff_edu.models.unet import UNet

SCHEDULE = Schedule.cosine()


def denoiser(device):
    torch.manual_seed(0)
    return UNet(3, 3, (8, 16), time=16, patch=2).to(device).eval()


def encoded(panel, latent: int):
    digits = draw_digits(300)  # so that there are some of each
    return lambda device: panel(Autoencoder(latent, variational=True).to(device).eval(), digits.pictures, digits.labels)


def drawing(panel):
    return lambda device: panel(tiny_tasks.make_pipe().to(device), steps=2)


PANELS = {
    "attention": lambda device: attention_panel(
        SentenceReader(len(sentences.WORDS)).to(device), sentences.encode, sentences.WORDS, sentences.CLASSES
    ),
    "noise": lambda device: noise_panel(denoiser(device), SCHEDULE, tiny_tasks.ships()[:2].to(device), steps=(2, 3)),
    "sampler": lambda device: sampler_panel(denoiser(device), SCHEDULE, 32, "velocity", 2, steps=2),
    "inside a U-Net": lambda device: inside_unet(UNet(3, 1, (8, 16)).to(device), tiny_tasks.fish()),
    "similarity": lambda device: similarity_panel(
        tiny_tasks.clip().to(device), tiny_tasks.parts().tokenizer, tiny_tasks.scenes(16)
    ),
    "latent pad": encoded(latent_pad, 2),
    "latent sliders": encoded(latent_sliders, 3),
    "replay": lambda device: replay_panel([(step, torch.zeros(2, 3, 8, 8, device=device)) for step in (0, 5)], 2),
    "prompt": drawing(prompt_box),
    "sketch": drawing(sketch_panel),
    "inpainting": drawing(inpainting_panel),
    "words on a picture": drawing(words_on_picture),
}
