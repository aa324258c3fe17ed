"""Sentiment of short sentences: a network with one attention layer learns what "not" and "very" do to other words."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.config import device_of, to_device
from stablediff_edu.data.sentences.negation import CLASSES, WORDS, SentenceDataset, generate_sentences
from stablediff_edu.models.sentence_classifier import SentenceClassifier
from stablediff_edu.training.loop import Callback, TrainResult, train


@dataclass(frozen=True)
class SentimentTrainConfig:
    """Hyperparameters of the classifier."""

    features: int = 32
    heads: int = 4
    positions: bool = True
    sentences: int = 20_000
    steps: int = 2000
    batch_size: int = 64
    learning_rate: float = 2e-2
    seed: int = 0

    def model(self) -> SentenceClassifier:
        """Return the untrained network; the seed decides its first weights."""
        torch.manual_seed(self.seed)
        return SentenceClassifier(len(WORDS), len(CLASSES), self.features, self.heads, self.positions)


SENTIMENT = SentimentTrainConfig()


def batches(
    sentences: SentenceDataset, batch_size: int, device: torch.device | str = "cpu"
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Give batches for ever: words' numbers (B, N) and labels (B,)."""
    while True:
        chosen = torch.randint(len(sentences), (batch_size,))
        yield to_device(sentences.numbers[chosen], device), to_device(sentences.labels[chosen], device)


def loss(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Return the cross-entropy between the network's answers and the right ones.

    A right answer counts as 92 % right, 2 % for each other class: with all of 100 % the network is never sure enough,
    and goes on to learn sentences from memory (label smoothing; Szegedy et al., 2016).
    """
    numbers, labels = batch
    return F.cross_entropy(model(numbers), labels, label_smoothing=0.1)


def train_sentiment(
    config: SentimentTrainConfig = SENTIMENT, callback: Callback | None = None
) -> tuple[SentenceClassifier, TrainResult]:
    """Train on synthetic sentences; return the network and the record."""
    sentences = generate_sentences(config.sentences, config.seed)
    model = config.model()
    training = train(
        model,
        batches(sentences, config.batch_size),
        loss,
        steps=config.steps,
        learning_rate=config.learning_rate,
        weight_decay=0.1,
        beta2=0.99,
        ema=0.99,
        callback=callback,
    )
    return model, training


@torch.no_grad()
def accuracy(model: nn.Module, sentences: SentenceDataset) -> float:
    """Return the share of the sentences whose class the network finds."""
    found = model(to_device(sentences.numbers, device_of(model))).argmax(dim=1).cpu()
    return (found == sentences.labels).float().mean().item()
