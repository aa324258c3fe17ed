"""Text as numbers: words in blocks, vocabularies as gensim makes them, the drawn corpus, text8, and bad files."""

import gzip
import hashlib
import io
import time
import zipfile

import numpy as np
import pytest
from local_server import Answer, LocalServer, closed_port

from stablediff_edu.__main__ import main
from stablediff_edu.datasets import download as download_module
from stablediff_edu.datasets import text as text_module
from stablediff_edu.datasets import text8
from stablediff_edu.datasets.corpus import load_corpus
from stablediff_edu.datasets.drawn_corpus import ANALOGIES, RELATIONS, draw_corpus
from stablediff_edu.datasets.text import Vocabulary, count_words, read_words, split_words
from stablediff_edu.errors import CourseError

SENTENCE = "The KING's 2 men\tand the Queen_Mother sat.\r\nÀ bientôt, naïve Straße"


def whole(path, most=None) -> list[str]:
    return [word for block in read_words(path, most) for word in block]


# --- reading ----------------------------------------------------------------------------------------------------------


def test_words_are_runs_of_letters_in_lower_case():
    words = ["the", "king", "s", "men", "and", "the", "queen", "mother", "sat", "à", "bientôt", "naïve", "straße"]
    assert split_words(SENTENCE) == words
    assert split_words("The KING's 2 men_and [the] `Queen`~Mother! sat") == words[:9]


@pytest.mark.parametrize("block", [1, 3, 7, 1000])
@pytest.mark.parametrize("name", ["text.txt", "text.gz"])
def test_a_text_read_in_blocks_has_the_same_words(tmp_path, monkeypatch, block, name):
    monkeypatch.setattr(text_module, "_BLOCK", block)
    raw = ("\ufeff" + SENTENCE * 3).encode()  # with the mark that Windows writes at the beginning
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
    assert whole(tmp_path / name) == split_words(SENTENCE * 3)


def test_only_the_beginning_is_read_if_wished(tmp_path):
    (tmp_path / "text").write_text("one two three four")
    assert whole(tmp_path / "text", most=10) == ["one", "two", "th"]


def test_a_text_is_not_read_further_than_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(text_module, "_BLOCK", 100)
    (tmp_path / "text").write_bytes(b"word " * 100_000 + b"\xff")
    blocks = read_words(tmp_path / "text")
    assert len(next(blocks)) == 20  # neither the rest of the text nor the broken byte at its end has been met
    with pytest.raises(CourseError):
        list(blocks)


@pytest.mark.parametrize(
    ("name", "contents", "sentence"),
    [
        ("latin.txt", "Café".encode("latin-1"), r"latin.txt is not text in UTF-8 \(byte 0xe9"),
        ("cut.gz", gzip.compress(b"word " * 1000)[:-12], "cut.gz is not a whole .gz file"),
        ("no.gz", b"only words", "no.gz is not a whole .gz file"),
        ("missing.txt", None, "missing.txt cannot be read"),
    ],
)
def test_a_file_that_is_no_text_gets_one_sentence(tmp_path, name, contents, sentence):
    if contents is not None:
        (tmp_path / name).write_bytes(contents)
    with pytest.raises(CourseError, match=sentence):
        load_corpus(tmp_path / name)


def test_a_folder_is_no_text(tmp_path):
    with pytest.raises(CourseError, match="cannot be read"):
        load_corpus(tmp_path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no words in t.txt"),
        ("1 2 3 !", "no words in t.txt"),
        ("word", "1 different word, of which 0 stand there 5 times"),
        ("word " * 50, "1 different word, of which 1 stand there 5 times"),
        ("all different words here", "4 different words, of which 0"),
    ],
)
def test_a_text_from_which_nothing_can_be_learned_gets_one_sentence(tmp_path, text, sentence):
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(CourseError, match=sentence):
        load_corpus(tmp_path / "t.txt")


# --- vocabularies -----------------------------------------------------------------------------------------------------


def test_the_most_frequent_word_is_the_first_and_rare_ones_are_left_out():
    vocabulary = count_words([["b", "a", "c"], ["a", "b", "d", "a", "d"]], min_count=2)
    assert vocabulary.words == ("a", "b", "d") and vocabulary.counts.tolist() == [3, 2, 2] and vocabulary.total == 7
    assert vocabulary.encode(["a", "c", "d", "x", "b"]).tolist() == [0, 2, 1]


def test_thinning_and_noise_are_those_of_gensim():
    gensim = pytest.importorskip("gensim.models.word2vec")
    counts = {f"w{number}": int(20_000 / (number + 1)) for number in range(300)}
    model = gensim.Word2Vec(min_count=5, sample=1e-3, sg=1, negative=5)
    model.build_vocab_from_freq(counts)
    vocabulary = Vocabulary(tuple(counts), np.array(list(counts.values())))
    theirs = [model.wv.get_vecattr(word, "sample_int") / 2**32 for word in counts]
    np.testing.assert_allclose(vocabulary.keep(1e-3), theirs, rtol=1e-5)
    np.testing.assert_allclose(vocabulary.noise().cumsum(), model.cum_table / model.cum_table[-1], atol=1e-6)
    assert vocabulary.keep(1e-3)[0] < 0.2 and vocabulary.keep(1e-3)[-1] == 1


# --- the drawn corpus -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn() -> str:
    return draw_corpus()


def test_the_drawn_corpus_has_some_hundred_words_and_some_hundred_thousand_of_them(drawn):
    started = time.process_time()
    corpus = load_corpus("drawn")
    assert time.process_time() - started < 5
    assert 300_000 <= len(corpus) < 301_000 and 300 <= len(corpus.vocabulary) <= 500
    assert sum(map(len, corpus.read())) == len(corpus) == len(split_words(drawn))


def test_the_same_seed_tells_the_same_stories(drawn):
    assert draw_corpus(2000, seed=1) == draw_corpus(2000, seed=1) != draw_corpus(2000, seed=2)
    assert drawn.startswith(draw_corpus(2000))


def test_the_stories_are_whole_sentences(drawn):
    for story in drawn.splitlines()[:1000]:
        assert story[-1] in ".?" and story[0].isupper() and "{" not in story


def test_no_story_holds_two_forms_of_a_subject(drawn):
    """What the analogies ask for never stands in the text: not even two words of one pair in one story."""
    partners: dict[str, set[str]] = {}
    for relation in RELATIONS:
        for forms, _ in relation.rows():
            for form in forms:
                partners.setdefault(form.lower(), set()).update(other.lower() for other in forms if other != form)
    for story in drawn.splitlines():
        words = set(split_words(story))
        for word in words & partners.keys():
            assert not words & partners[word], story


def test_every_word_of_the_analogies_stands_in_the_text_and_once_in_its_relation(drawn):
    words = set(split_words(drawn))
    assert {"tall", "building", "electricity"} < words
    for name, pairs in ANALOGIES.items():
        asked = [word for pair in pairs for word in pair]
        assert set(asked) <= words and len(set(asked)) == len(asked) and len(pairs) >= 10, name
    assert ("king", "queen") in ANALOGIES["man to woman"] and ("japan", "tokyo") in ANALOGIES["country to capital"]


def test_a_corpus_of_no_words_gets_one_sentence():
    with pytest.raises(CourseError, match="at least 1"):
        draw_corpus(0)


# --- text8 ------------------------------------------------------------------------------------------------------------

TEXT = b" anarchism originated as a term of abuse of a term of a" * 20


def packed(text: bytes = TEXT, name: str = "text8") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, text)
    return file.getvalue()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty data folder, and a course that knows a small text8."""
    monkeypatch.setenv("STABLEDIFF_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(text8, "MD5", hashlib.md5(TEXT).hexdigest())
    monkeypatch.setattr(text8, "SHA256", hashlib.sha256(packed()).hexdigest())
    monkeypatch.setattr(download_module, "PAUSE", 0.0)
    return tmp_path / "data"


@pytest.fixture
def server(home, monkeypatch):
    with LocalServer() as server:
        monkeypatch.setattr(text8, "URL", f"{server.url}/text8.zip")
        yield server


def test_text8_is_fetched_once_and_read(server, home, capsys):
    server.routes["/text8.zip"] = Answer(packed())
    assert main(["fetch", "text8"]) == 0 and main(["fetch", "text8"]) == 0
    assert len(server.requests) == 1 and "complete, 17 million words" in capsys.readouterr().out
    assert not (home / "text8.zip").exists()
    corpus = load_corpus("text8")
    assert (
        len(corpus) == len(TEXT.split()) and corpus.vocabulary.words[:2] == ("a", "of") and "CC BY-SA" in corpus.licence
    )


@pytest.mark.parametrize(
    ("body", "sentence"),
    [(packed(b"other words"), "its SHA-256 differs"), (b"<html>", "its SHA-256 differs")],
)
def test_something_else_than_text8_is_thrown_away(server, home, capsys, body, sentence):
    server.routes["/text8.zip"] = Answer(body)
    assert main(["fetch", "text8"]) == 2
    assert sentence in capsys.readouterr().err and list(home.glob("**/*.zip")) == [] and not (home / "text8").exists()


def test_a_right_archive_of_another_text_is_thrown_away(server, home, monkeypatch, capsys):
    monkeypatch.setattr(text8, "MD5", "0" * 32)
    server.routes["/text8.zip"] = Answer(packed())
    assert main(["fetch", "text8"]) == 2
    assert "What came is not text8" in capsys.readouterr().err and not (home / "text8").exists()


def test_without_a_network_there_is_one_sentence(home, monkeypatch, capsys):
    monkeypatch.setattr(text8, "URL", f"http://127.0.0.1:{closed_port()}/text8.zip")
    assert main(["fetch", "text8"]) == 2
    assert "does not answer" in capsys.readouterr().err


def test_text8_that_has_not_been_fetched_says_how(home):
    with pytest.raises(CourseError, match="fetch text8"):
        load_corpus("text8")
