"""word2vec: skip-gram with negative sampling (Mikolov et al., 2013), its gradient written by hand.

Two matrices hold an embedding of every word: `words`, the input embeddings of center words, and `contexts`, the
output embeddings of context words. For a center word and a word near it the dot product of the two should grow; for
the center word and words sampled at random (the negatives) it should shrink. Nothing else is learned.
"""

from dataclasses import dataclass
from functools import cache

import torch
from torch import nn
from torch.nn.functional import embedding, logsigmoid  # embedding(numbers, table) is table[numbers], but faster


class Word2Vec(nn.Module):
    """Input and output embeddings, ``words`` and ``contexts``, (V, D) each: V words, D dimensions.

    Initialized as in the authors' program: words small and at random, contexts zero.
    """

    def __init__(self, size: int, dimension: int) -> None:
        super().__init__()
        self.config = {"size": size, "dimension": dimension}
        words = (torch.rand(size, dimension) - 0.5) / dimension
        self.words = nn.Parameter(words, requires_grad=False)
        self.contexts = nn.Parameter(torch.zeros(size, dimension), requires_grad=False)


# --- the loop one can read --------------------------------------------------------------------------------------------


def pair_loss(words, contexts, center: int, context: int, negatives: list[int]) -> torch.Tensor:
    """Return -log σ(w·c) - Σ log σ(-w·n): small if the center's vector w fits the context c and not the negatives n."""
    w = words[center]  # (D,)
    loss = -logsigmoid(w @ contexts[context])
    for negative in negatives:
        loss = loss - logsigmoid(-(w @ contexts[negative]))
    return loss


def sgd_step(words, contexts, center: int, context: int, negatives: list[int], learning_rate: float) -> None:
    """Take one step down `pair_loss`, in place: the derivative of -log σ(s) is σ(s) - 1, that of -log σ(-s) is σ(s)."""
    w = words[center]
    to_w = torch.zeros_like(w)
    for word, wanted in [(context, 1.0), *((negative, 0.0) for negative in negatives)]:
        c = contexts[word]
        error = torch.sigmoid(w @ c) - wanted  # between -1 and 1: how far from what is wanted
        to_w += error * c
        contexts[word] -= learning_rate * error * w
    words[center] -= learning_rate * to_w


# --- the same, fast ---------------------------------------------------------------------------------------------------


def extract_windows(text: torch.Tensor, span: int, window: int) -> torch.Tensor:
    """Cut a text into overlapping pieces: (N,) -> (B, span + 2·window), with `span` centers in the middle of each.

    Every word is a center once. The text is closed to a ring, so that its first and last words have neighbors too; the
    last piece goes on with the beginning.
    """
    pieces = -(-len(text) // span)
    around = torch.arange(-window, pieces * span + window) % len(text)
    return text[around].unfold(0, span + 2 * window, span)


@dataclass(frozen=True)
class Batch:
    """Some pieces of text and what each is compared with.

    A piece is one matrix of scores, its centers times everything they are compared with: the words around them, and
    negatives that all its centers share. So nearly all the work is matrix products, which a processor does best. Each
    of the K negatives counts `per_pair`/K times for every pair, as if every pair had sampled `per_pair` of its own.

    Attributes:
        pieces: (B, S + 2w) word numbers; the middle S are centers, w more on either side are neighbors only.
        reach: (B, S) window of each center, from 1 to w: sampled at random, so that near words count more.
        negatives: (B, K) word numbers.
        per_pair: how many negatives a pair is worth.
    """

    pieces: torch.Tensor
    reach: torch.Tensor
    negatives: torch.Tensor
    per_pair: int = 5

    def compare(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return centers (B, S); what they are compared with (B, S + 2w + K); which of these are pairs
        (B, S, S + 2w), and how much each negative counts (B, S, 1)."""
        span = self.reach.shape[1]
        window = (self.pieces.shape[1] - span) // 2
        is_pair = _distances(span, window) <= self.reach[:, :, None]
        weight = is_pair.sum(dim=2, keepdim=True) * (self.per_pair / self.negatives.shape[1])
        return self.pieces[:, window : window + span], torch.cat([self.pieces, self.negatives], 1), is_pair, weight


@cache
def _distances(span: int, window: int) -> torch.Tensor:
    """Return how far each word of a piece is from each of its centers, (span, span + 2·window)."""
    distances = (torch.arange(-window, span + window) - torch.arange(span)[:, None]).abs()
    return distances.masked_fill(distances == 0, window + 1)  # out of reach: no word is its own neighbor


def sgd_step_batched(words: torch.Tensor, contexts: torch.Tensor, batch: Batch, learning_rate: float) -> None:
    """Take the steps of `sgd_step` for all pairs of a batch at once, in place; the gradients of a word add up."""
    centres, compared, is_pair, weight = batch.compare()
    near = is_pair.shape[2]
    w, c = embedding(centres, words), embedding(compared, contexts)  # (B, S, D), (B, S + 2w + K, D)
    error = torch.sigmoid(w @ c.transpose(1, 2))  # (B, S, S + 2w + K)
    error[:, :, :near].sub_(1).mul_(is_pair)
    error[:, :, near:].mul_(weight)
    error.mul_(-learning_rate)  # on the small matrix of scores rather than on the gradients, which are longer
    words.index_add_(0, centres.flatten(), (error @ c).flatten(0, 1))
    contexts.index_add_(0, compared.flatten(), (error.transpose(1, 2) @ w).flatten(0, 1))


def batch_loss(words: torch.Tensor, contexts: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return the mean of `pair_loss` over all pairs of a batch."""
    centres, compared, is_pair, weight = batch.compare()
    near = is_pair.shape[2]
    scores = embedding(centres, words) @ embedding(compared, contexts).transpose(1, 2)
    found = -logsigmoid(scores[:, :, :near])[is_pair].sum()
    noise = -(logsigmoid(-scores[:, :, near:]) * weight).sum()
    return (found + noise) / is_pair.sum()
