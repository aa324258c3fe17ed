"""CLIP: a text encoder and an image encoder that embed captions and images in one space.

The text encoder is the one that Stable Diffusion v1 reads its prompts with; with `CLIPTextConfig()` it has those
sizes, with smaller numbers it is chapter 7's: the same code. Its attributes and sizes have transformers' names. From
Radford et al. (2021, "Learning transferable visual models from natural language supervision", sections 2.3 and 2.4,
figure 3).
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.errors import UserError
from stablediff_edu.layers.attention import Attention
from stablediff_edu.layers.conv_blocks import DoubleConv
from stablediff_edu.layers.transformer import CLIPEncoderLayer

MAX_LOGIT_SCALE = 100.0  # similarities are multiplied by at most so much, or the training becomes unstable


@dataclass(frozen=True)
class CLIPTextConfig:
    """The sizes of a text encoder; by default those of Stable Diffusion v1 (CLIP ViT-L/14)."""

    vocab_size: int = 49_408  # tokens, start and end included
    max_position_embeddings: int = 77  # the longest row of tokens
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12


class CLIPTextModel(nn.Module):
    """Tokens to contextual embeddings, causal: (B, N) int64 -> (B, N, hidden_size)."""

    def __init__(self, config: CLIPTextConfig) -> None:
        super().__init__()
        self.config = config
        width, heads = config.hidden_size, config.num_attention_heads
        self.embeddings = nn.ModuleDict()
        self.embeddings["token_embedding"] = nn.Embedding(config.vocab_size, width)
        # learned, not sines: CLIP's way
        self.embeddings["position_embedding"] = nn.Embedding(config.max_position_embeddings, width)
        layers = nn.ModuleList(CLIPEncoderLayer(width, heads) for _ in range(config.num_hidden_layers))
        self.encoder = nn.ModuleDict({"layers": layers})
        self.final_layer_norm = nn.LayerNorm(width)
        for weight in self.embeddings.parameters():
            nn.init.normal_(weight, std=0.02)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        length, most = tokens.shape[1], self.config.max_position_embeddings
        if length > most:
            raise UserError(f"{length} tokens do not fit into {most} positions; use fewer words.")
        # (B, N) -> (B, N, hidden_size)
        positions = torch.arange(length, device=tokens.device)
        x = self.embeddings["token_embedding"](tokens) + self.embeddings["position_embedding"](positions)
        for layer in self.encoder["layers"].children():
            x = layer(x)
        return self.final_layer_norm(x)


@dataclass(frozen=True)
class ImageConfig:
    """The sizes of an image encoder."""

    size: int = 64  # side of the images in pixels
    patch: int = 2  # pixels a side that are laid into the channels first
    channels: tuple[int, ...] = (24, 48, 96, 192)  # of every level; each but the first works at half the size
    heads: int = 4  # of the attention that sums up the image

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))  # the metadata of a checkpoint gives a list
        step = self.patch * 2 ** (len(self.channels) - 1)
        if self.size % step:
            raise UserError(f"Images of {self.size} pixels cannot be halved so often; use a multiple of {step}.")


class ImageEncoder(nn.Module):
    """Images to one embedding each, by convolutions and one attention: (B, 3, S, S) -> (B, channels[-1])."""

    def __init__(self, config: ImageConfig) -> None:
        super().__init__()
        self.config = config
        channels = [3 * config.patch**2, *config.channels]
        self.stages = nn.ModuleList(DoubleConv(a, b) for a, b in pairwise(channels))
        side = config.size // (config.patch * 2 ** (len(config.channels) - 1))
        self.position_embedding = nn.Parameter(torch.randn(side**2, channels[-1]) / math.sqrt(channels[-1]))
        self.attention = Attention(channels[-1], config.heads)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward_features(x)[1]

    def forward_features(self, x: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return the output of every level, (B, channels, H, W) each, and the embedding."""
        found = []
        x = F.pixel_unshuffle(x, self.config.patch)  # (B, 3, S, S) -> (B, 3·patch², S/patch, S/patch)
        for number, stage in enumerate(self.stages):
            x = stage(F.max_pool2d(x, 2) if number else x)  # (B, channels, H, W) -> (B, channels', H/2, W/2)
            found.append(x)
        x = x.flatten(2).transpose(1, 2) + self.position_embedding  # (B, C, H, W) -> (B, H·W, C)
        mean = x.mean(dim=1, keepdim=True)  # (B, 1, C)
        vector = (mean + self.attention(mean, context=x)).squeeze(1)  # the mean asks all positions: (B, 1, C) -> (B, C)
        return found, vector


class CLIP(nn.Module):
    """Both encoders, each followed by a projection into one space, where matching images and captions have a high
    cosine similarity.

    Args:
        text, image: the sizes of the encoders.
        features: numbers of an embedding.
    """

    def __init__(self, text: CLIPTextConfig, image: ImageConfig, features: int = 128) -> None:
        super().__init__()
        self.config = dict(text=text, image=image, features=features)
        self.text_model, self.image_model = CLIPTextModel(text), ImageEncoder(image)
        self.text_projection = nn.Linear(text.hidden_size, features, bias=False)
        self.image_projection = nn.Linear(image.channels[-1], features, bias=False)
        self.log_logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    @property
    def logit_scale(self) -> torch.Tensor:
        """What similarities are multiplied by before the softmax: 1 / temperature, learned; at most `MAX_LOGIT_SCALE`.

        The parameter itself is clamped, as in the paper: a clamped exponential would have no gradient beyond.
        """
        with torch.no_grad():
            self.log_logit_scale.clamp_(max=math.log(MAX_LOGIT_SCALE))
        return self.log_logit_scale.exp()

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return one vector of length 1 a sentence: (B, N) -> (B, features)."""
        return F.normalize(self.text_projection(pool_eos(self.text_model(tokens), tokens)), dim=-1)

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        """Return one vector of length 1 an image: (B, 3, S, S) -> (B, features)."""
        return F.normalize(self.image_projection(self.image_model(images)), dim=-1)

    def forward(self, images: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Return the cosine of every image (row) with every sentence (column): (A, 3, S, S), (B, N) -> (A, B)."""
        return self.encode_image(images) @ self.encode_text(tokens).T


def pool_eos(hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Return the embedding at the first end token, the only one that attends to the whole sentence: (B, N,
    hidden_size) -> (B, hidden_size).

    The end token has the highest number, and `argmax` finds the first.
    """
    return hidden[torch.arange(len(tokens), device=tokens.device), tokens.argmax(dim=1)]


def contrastive_loss(similarities: torch.Tensor, logit_scale: torch.Tensor | float = 1.0) -> torch.Tensor:
    """Return the symmetric contrastive loss; image i belongs to sentence i: (B, B) -> one number.

    Each image chooses among the sentences, and each sentence among the images: two cross-entropies.
    """
    logits = logit_scale * similarities
    pairs = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2
