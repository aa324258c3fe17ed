"""A classifier of short sentences with one layer of self-attention (chapter 7)."""

import torch
from torch import nn

from stablediff_edu.layers.attention import Attention
from stablediff_edu.layers.embeddings import sinusoidal_embedding


class SentenceClassifier(nn.Module):
    """Token ids, (B, N), to logits, (B, classes).

    Every word is embedded, its position is added, the words attend to each other once, and the mean over all words
    goes through one linear layer. Id 0 is padding: it is masked and not counted.

    Args:
        words: size of the vocabulary, id 0 included.
        classes: number of classes.
        features: size of a word's embedding.
        heads: of the attention.
        positions: whether position embeddings are added.
    """

    def __init__(
        self, words: int, classes: int = 5, features: int = 32, heads: int = 4, positions: bool = True
    ) -> None:
        super().__init__()
        self.config = dict(words=words, classes=classes, features=features, heads=heads, positions=positions)
        self.words = nn.Embedding(words, features)
        # words begin nearly alike: large random vectors tempt to learn each from memory, and what "not" does to "good"
        # is then not known of "nice"
        nn.init.normal_(self.words.weight, std=0.1)
        self.attention = Attention(features, heads)
        self.answer = nn.Linear(features, classes)

    def forward(self, token_ids: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Classify sentences; `mask`, (N, N), is True where a word may attend, besides the padding mask."""
        here = token_ids != 0  # (B, N)
        key_padding_mask = here[:, None, None, :]  # (B, 1, 1, N): by all heads and words
        x = self.words(token_ids)  # (B, N) -> (B, N, features)
        if self.config["positions"]:
            x = x + sinusoidal_embedding(torch.arange(token_ids.shape[1], device=x.device), x.shape[2])
        x = x + self.attention(x, mask=key_padding_mask if mask is None else key_padding_mask & mask)
        share = here / here.sum(dim=1, keepdim=True)  # (B, N), sum 1
        return self.answer((x * share[:, :, None]).sum(dim=1))  # (B, N, features) -> (B, features) -> (B, classes)
