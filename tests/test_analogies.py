"""Asking word vectors: nearest words, analogies with and without the words of the question, and counting them."""

import pytest
import torch

from stablediff_edu.errors import UserError
from stablediff_edu.metrics.word_vectors import (
    WordVectors,
    analogy,
    count_analogies,
    from_pairs,
    nearest_words,
    read_questions,
    score_table,
)

# two axes that know nothing of each other, as in the synthetic corpus: (royal, common, male, female, food)
PLACES = {
    "man": [0, 1, 1, 0, 0],
    "woman": [0, 1, 0, 1, 0],
    "king": [1, 0, 1, 0, 0],
    "queen": [1, 0, 0, 1, 0],
    "crown": [2, 0, 0, 0, 0],
    "food": [0, 0, 0, 0, 7],
}


@pytest.fixture
def vectors() -> WordVectors:
    return WordVectors(list(PLACES), torch.tensor(list(PLACES.values()), dtype=torch.float32))


def test_the_nearest_words_come_first_without_the_word_itself(vectors):
    ranking = nearest_words(vectors, "king", None)
    assert [word for word, _ in ranking][:1] == ["crown"] and len(ranking) == 5
    assert ranking[0][1] == pytest.approx(0.5**0.5) and dict(ranking)["food"] == 0.0
    assert [score for _, score in ranking] == sorted((score for _, score in ranking), reverse=True)


def test_king_minus_man_plus_woman_is_queen(vectors):
    assert analogy(vectors, "king", "man", "woman")[0] == ("queen", pytest.approx(1.0))


def test_the_words_of_the_question_are_left_out_only_if_wished(vectors):
    assert "king" not in dict(analogy(vectors, "king", "food", "crown", None))
    everything = analogy(vectors, "king", "food", "crown", None, exclude=False)
    assert everything[0][0] == "crown" and len(everything) == len(PLACES)


def test_a_length_of_a_vector_is_no_matter(vectors):
    assert vectors.similarity("king", "crown") == pytest.approx(0.5**0.5)


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("foo", "'foo' is not among the 6 words; nearest spelling: 'food'."),
        ("Quen ", "'quen' is not among the 6 words; nearest spelling: 'queen'."),
        ("x" * 300, "'" + "x" * 40 + "' is not among the 6 words; try man, woman, king."),
        ("", "No word was given"),
    ],
)
def test_an_unknown_word_gets_one_sentence_with_the_nearest_spelling(vectors, word, sentence):
    for ask in (lambda: nearest_words(vectors, word), lambda: analogy(vectors, "king", word, "man")):
        with pytest.raises(UserError) as error:
            ask()
        assert sentence in str(error.value) and "\n" not in str(error.value)


def test_a_word_is_found_however_it_is_typed_and_completed(vectors):
    assert vectors.number(" King\n") == vectors.number("king") == 2
    assert vectors.complete("CR") == ["crown"] and vectors.complete("m") == ["man"]


def test_pairs_become_questions_each_with_every_other():
    sections = from_pairs({"s": [("man", "woman"), ("king", "queen"), ("boy", "girl")]})
    assert len(sections["s"]) == 6 and ("man", "woman", "king", "queen") in sections["s"]


def test_right_answers_misses_and_unknown_words_are_counted(vectors):
    sections = from_pairs({"people": [("man", "woman"), ("king", "queen")], "strange": [("king", "crown")]})
    sections["strange"] = [("man", "woman", "king", "food"), ("man", "woman", "king", "duke")]
    scores = count_analogies(vectors, sections)
    assert (scores["people"].right, scores["people"].asked, scores["people"].share) == (2, 2, 1.0)
    strange = scores["strange"]
    assert (strange.asked, strange.right, strange.unknown) == (1, 0, 1)
    assert strange.misses == ((("man", "woman", "king", "food"), "queen"),)
    assert (scores["all"].asked, scores["all"].right, scores["all"].unknown) == (3, 2, 1)
    assert "people" in score_table(scores) and "2 /     3" in score_table(scores)


def test_counting_agrees_with_asking_one_by_one():
    rng = torch.Generator().manual_seed(0)
    words = [f"w{number}" for number in range(40)]
    vectors = WordVectors(words, torch.randn(40, 3, generator=rng))
    questions = [tuple(words[i] for i in torch.randperm(40, generator=rng)[:4]) for _ in range(600)]
    score = count_analogies(vectors, {"any": questions})["any"]
    asked = [(analogy(vectors, c, a, b, 1), analogy(vectors, c, a, b, 1, exclude=False), d) for a, b, c, d in questions]
    assert score.right == sum(ranking[0][0] == wanted for ranking, _, wanted in asked) > 0
    assert score.right_of_all == sum(ranking[0][0] == wanted for _, ranking, wanted in asked)


def test_the_rarer_words_can_be_left_out(vectors):
    few = vectors.most_frequent(3)
    assert few.words == ("man", "woman", "king") and len(nearest_words(few, "king", None)) == 2


def test_questions_are_read_in_the_authors_format(tmp_path):
    file = tmp_path / "questions.txt"
    file.write_text(": family\nKing queen man woman\n\n: more things\na b c d\ne f g h\n")
    assert read_questions(file) == {
        "family": [("king", "queen", "man", "woman")],
        "more things": [("a", "b", "c", "d"), ("e", "f", "g", "h")],
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "holds no questions"),
        (": s\na b c\n", "Line 2 of q.txt is not a question of four words"),
        ("a b c d\n", "Line 1"),
        (b"\xff\xfe", "cannot be read as questions"),
        (None, "cannot be read as questions"),
    ],
)
def test_a_bad_file_of_questions_gets_one_sentence(tmp_path, text, sentence):
    file = tmp_path / "q.txt"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=sentence):
        read_questions(file)


def test_the_real_questions_are_read_whole(real_data):
    sections = read_questions(real_data / "text/questions-words.txt")
    assert len(sections) == 14 and sum(map(len, sections.values())) == 19_544
    assert sections["family"][0] == ("boy", "girl", "brother", "sister")
