"""Captions of your own images as tokens: a vocabulary of their words, and several captions an image."""

from itertools import cycle, islice

import torch

from stablediff_edu.data.captioned_folder import CaptionedImages
from stablediff_edu.tokenizers.words import WordTokenizer, split_words

MAX_WORDS = 75  # of a caption: CLIP reads 77 tokens, start and end included
CAPTIONS_PER_IMAGE = 8  # captions of an image that are used


def make_tokenizer(images: CaptionedImages) -> WordTokenizer:
    """Return a tokenizer of all words in the captions, long enough for the longest caption and a few words more."""
    longest = max(len(split_words(text)) for texts in images.captions for text in texts)
    return WordTokenizer(images.vocabulary(), min(MAX_WORDS, longest + 4) + 2)


def known_words(text: str, tokenizer: WordTokenizer) -> str:
    """Return a caption without the words that the tokenizer lacks, cut to its length."""
    return " ".join([word for word in split_words(text) if word in tokenizer.numbers][: tokenizer.length - 2])


def tokenize_captions(images: CaptionedImages, tokenizer: WordTokenizer) -> torch.Tensor:
    """Return the tokens of the captions, (N, captions, length); those of images with fewer captions are repeated."""
    count = min(CAPTIONS_PER_IMAGE, max(map(len, images.captions)))
    rows = [islice(cycle(known_words(text, tokenizer) for text in texts), count) for texts in images.captions]
    return torch.stack([tokenizer(list(row)) for row in rows])


def sample_prompts(images: CaptionedImages, tokenizer: WordTokenizer, count: int) -> list[str]:
    """Return some captions, all different, from everywhere in the set."""
    texts = list(dict.fromkeys(known_words(texts[0], tokenizer) for texts in images.captions))
    return [texts[number * len(texts) // min(count, len(texts))] for number in range(min(count, len(texts)))]
