"""Small sentences: what each one says, what is held out, and that one layer of attention can read them."""

from collections import Counter

import pytest
import torch

from stablediff_edu.data.sentences.negation import (
    ADJECTIVES,
    CLASSES,
    MAX_LENGTH,
    MODIFIERS,
    ORDER_SENSITIVE_PAIRS,
    PLAIN,
    TEMPLATES,
    WORDS,
    SentenceDataset,
    compose_sentiment,
    encode,
    generate_sentences,
    is_held_out,
)
from stablediff_edu.errors import UserError
from stablediff_edu.layers.attention import causal_mask, record_attention
from stablediff_edu.models.sentence_classifier import SentenceClassifier
from stablediff_edu.tasks.sentiment import SentimentTrainConfig, accuracy, batches, train_sentiment


class Silent:
    """An observer who says nothing."""

    def begin(self, *_) -> None: ...
    def step(self, *_) -> None: ...
    def snapshot(self, *_) -> None: ...
    def end(self, *_) -> None: ...


# said of a word that is good, of one that is great; the bad ones are the mirror image
MEANINGS = {
    "": ("good", "very good"),
    "very": ("very good", "very good"),
    "really": ("very good", "very good"),
    "not": ("bad", "bad"),
    "not very": ("bad", "bad"),
    "not really": ("bad", "bad"),
    "really not": ("very bad", "very bad"),
}


def test_a_modifier_means_what_the_table_says_for_good_and_bad_alike():
    assert set(MEANINGS) == set(MODIFIERS)
    for said, meanings in MEANINGS.items():
        for (good, bad), meaning in zip([("nice", "sad"), ("superb", "awful")], meanings, strict=True):
            assert CLASSES[compose_sentiment(good, said) + 2] == meaning
            assert compose_sentiment(bad, said) == -compose_sentiment(good, said)


def meaning(text: str) -> str:
    """Read a sentence by rules of its own: find the adjective that counts, then look back for what is said of it."""
    words = text.split()
    if "neither" in words:
        return "neither"
    adjectives = [place for place, word in enumerate(words) if word in ADJECTIVES]
    here = adjectives[0]
    if len(adjectives) == 2 and words[here - 1] == "not":  # not B but A
        here = adjectives[1]
        assert words[here - 1] == "but"
    stressed_before_not, negated, stressed = False, False, False
    for word in reversed(words[:here]):
        if word in PLAIN or word in ("but", "said"):
            break
        if word == "not":
            negated = True
        elif word in ("very", "really"):
            stressed_before_not |= negated and word == "really"
            stressed |= not negated
        elif word == "and":
            break
    good = 1 if ADJECTIVES[words[here]] > 0 else -1
    if negated:
        return CLASSES[-good * (2 if stressed_before_not else 1) + 2]
    return CLASSES[(2 * good if stressed else ADJECTIVES[words[here]]) + 2]


@pytest.mark.parametrize("unseen", [False, True])
def test_every_label_is_what_another_reader_finds(unseen: bool):
    drawn = generate_sentences(2000, seed=3, unseen=unseen)
    for text, label in zip(drawn.texts, drawn.labels.tolist(), strict=True):
        assert meaning(text) == CLASSES[label], text
    assert len(set(drawn.texts)) > 1500


def combinations(text: str) -> set[tuple[str, str]]:
    """All (what stands before, adjective) and (adjective, adjective) that a sentence may show."""
    words = text.split()
    adjectives = [word for word in words if word in ADJECTIVES]
    said = " ".join(word for word in words if word in ("not", "really", "very"))
    return {(said, adjectives[0])} if len(adjectives) == 1 else {tuple(adjectives), tuple(adjectives[::-1])}


def only_one_is_said_of(drawn: SentenceDataset) -> list[str]:
    """Sentences in which "not" and "very" can be about nothing but the adjective that counts."""
    return [text for text in drawn.texts if not set(PLAIN) & set(text.split())]


def test_what_is_held_out_is_never_seen_and_what_is_unseen_is_held_out():
    seen, unseen = generate_sentences(3000), generate_sentences(1000, unseen=True)
    known = set().union(*map(combinations, only_one_is_said_of(seen)))
    tested = [combinations(text) for text in only_one_is_said_of(unseen)]
    assert len(tested) > 300 and len(known) > 200
    for pairs in tested:
        assert any(is_held_out(adjective, other) for other, adjective in pairs)
        if len(pairs) == 1:  # modifier and adjective; of opposites the other order may have been seen
            assert not pairs & known
    assert not set(unseen.texts) & set(seen.texts)


def test_a_fifth_is_held_out_and_every_word_and_modifier_is_seen():
    pairs = [(word, modifier) for word in ADJECTIVES for modifier in MODIFIERS if modifier]
    assert 0.15 < sum(is_held_out(*pair) for pair in pairs) / len(pairs) < 0.25
    assert not any(is_held_out(word, "") for word in ADJECTIVES)
    shares = Counter(modifier for word, modifier in pairs if is_held_out(word, modifier))
    assert set(shares) == set(MODIFIERS) - {""} and max(shares.values()) < len(ADJECTIVES) / 3


def test_all_frames_and_classes_are_drawn():
    drawn = generate_sentences(2000)
    assert drawn.labels.bincount(minlength=5).min() > 60
    beginnings = {frame.text.split("M")[0].split("T")[0] for frame in TEMPLATES}
    for beginning in beginnings:
        assert any(text.startswith(beginning) for text in drawn.texts), beginning


def test_the_seed_decides():
    assert generate_sentences(50, 1).texts == generate_sentences(50, 1).texts != generate_sentences(50, 2).texts
    assert generate_sentences(80, 1).texts[:50] == generate_sentences(50, 1).texts


def test_numbers_are_the_words_and_nothing_more():
    drawn = generate_sentences(300)
    assert drawn.numbers.shape == (300, MAX_LENGTH) and drawn.numbers.dtype == torch.int64
    for text, numbers in zip(drawn.texts, drawn.numbers.tolist(), strict=True):
        assert " ".join(WORDS[number] for number in numbers if number) == text
    assert WORDS[0] == "·" and len(set(WORDS)) == len(WORDS)


def test_where_order_decides_the_words_are_the_same():
    for first, second in ORDER_SENSITIVE_PAIRS:
        assert sorted(encode(first)) == sorted(encode(second)) and first != second
        if "bites" not in first:
            assert meaning(first) != meaning(second)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "There is no word in this sentence; type some, such as: the film was not good."),
        ("… 12 !", "There is no word in this sentence; type some, such as: the film was not good."),
        ("the film was goood", f"'goood' is not among the {len(WORDS) - 1} words; nearest spelling: 'good'."),
        ("qqqq", f"'qqqq' is not among the {len(WORDS) - 1} words; some are: "
         "good, nice, fine, pleasant, lovely, decent."),
        ("very " * 17 + "good", "This sentence has 18 words and the maximum is 16; make it shorter."),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_in_a_sentence(text: str, sentence: str):
    with pytest.raises(UserError) as error:
        encode(text)
    assert str(error.value) == sentence


def test_capitals_and_stops_do_not_matter():
    assert encode("The film was GOOD, not bad!") == encode("the film was good not bad")


# --- the network ------------------------------------------------------------------------------------------------------


def random_reader(**sizes) -> SentenceClassifier:
    torch.manual_seed(0)
    model = SentenceClassifier(len(WORDS), **sizes).eval()
    torch.nn.init.normal_(model.words.weight)
    return model


def test_without_positions_order_is_lost_and_with_them_it_is_not():
    for pair in ORDER_SENSITIVE_PAIRS:
        first, second = (torch.tensor([encode(text)]) for text in pair)
        blind, reader = random_reader(positions=False), random_reader()
        torch.testing.assert_close(blind(first), blind(second))
        assert (reader(first) - reader(second)).abs().max() > 1e-4


def test_what_fills_up_a_sentence_changes_nothing():
    model, numbers = random_reader(), torch.tensor([encode("the film was not good")])
    longer = torch.cat([numbers, torch.zeros(1, 4, dtype=torch.int64)], dim=1)
    torch.testing.assert_close(model(numbers), model(longer))


def test_the_weights_can_be_read_and_the_mask_holds():
    model, numbers = random_reader(heads=2), torch.tensor([encode("the film was not good")])
    with record_attention(model) as seen:
        model(numbers, mask=causal_mask(5))
    assert seen["attention"].shape == (1, 2, 5, 5)
    assert not seen["attention"].triu(1).any()


def test_the_same_seed_gives_the_same_network():
    config = SentimentTrainConfig(steps=3, sentences=100)
    first, second = (train_sentiment(config, Silent())[0].state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_batch_holds_sentences_with_their_labels():
    drawn = generate_sentences(40)
    numbers, labels = next(batches(drawn, 16))
    known = {tuple(row): label for row, label in zip(drawn.numbers.tolist(), drawn.labels.tolist(), strict=True)}
    assert [known[tuple(row)] for row in numbers.tolist()] == labels.tolist()


def test_the_recipe_reads_combinations_that_it_has_never_seen_and_minds_their_order():
    """The whole config, 8 to 15 s of one core; without positions it reaches 51 to 53 %."""
    model, _ = train_sentiment(callback=Silent())
    assert accuracy(model, generate_sentences(2000, seed=1, unseen=True)) >= 0.98  # measured: 1.000 with seeds 0, 1, 2
    for text in sum(ORDER_SENSITIVE_PAIRS[1:], ()):
        answer = model(torch.tensor([encode(text)]))[0]
        assert CLASSES[answer.argmax()] == meaning(text), text
