"""Text as numbers: words in blocks, vocabularies as gensim makes them, the synthetic corpus, and bad files."""

import bz2
import gzip
import io
import itertools
import lzma
import random
import time
import unicodedata
import zipfile

import numpy as np
import pytest

from stablediff_edu.data.words import vocabulary as text_module
from stablediff_edu.data.words.corpus import load_corpus
from stablediff_edu.data.words.synthetic import ANALOGIES, RELATIONS, generate_corpus
from stablediff_edu.data.words.vocabulary import Vocabulary, build_vocabulary, iter_words, split_words
from stablediff_edu.errors import UserError

ENCODINGS = {
    "UTF-8": "utf-8",
    "UTF-8 with a mark": "utf-8-sig",
    "UTF-16 with a mark": "utf-16-le",
    "UTF-16": "utf-16-be",
    "UTF-32": "utf-32",
}
SENTENCE = "The KING's 2 men\tand the Queen_Mother sat.\r\nÀ bientôt, naïve Straße"


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, contents in members.items():
            archive.writestr(name, contents)
    return file.getvalue()


def whole(path, most=None) -> list[str]:
    return [word for block in iter_words(path, most) for word in block]


# --- reading ----------------------------------------------------------------------------------------------------------


def test_words_are_runs_of_letters_in_lower_case():
    words = ["the", "king", "s", "men", "and", "the", "queen", "mother", "sat", "à", "bientôt", "naïve", "straße"]
    assert split_words(SENTENCE) == words
    assert split_words("The KING's 2 men_and [the] `Queen`~Mother! sat") == words[:9]


WORDS = {
    "English": "don t",
    "Hindi": "हिन्दी भाषा में",
    "Bengali": "বাংলা ভাষা",
    "Tamil": "தமிழ் மொழி",
    "Arabic": "مَرْحَبًا بِكُمْ",
    "Hebrew": "שָׁלוֹם עולם",
    "Persian": "می\u200cخواهم کتاب",
    "Turkish": "istanbul ığdır",
    "Vietnamese": "tiếng việt",
    "Greek": "οδυσσεύς μῆνιν",
    "Russian": "ёлка мой",
    "Korean": "한국어 문장",
    "Thai": "ภาษา ไทย",
    "Chinese": "我们 学习",
    "Deseret": "𐐨𐐩 𐐪𐐫",
}
CAPITALS = {"Turkish": "İSTANBUL ığdır"}
PACK = {"plain": bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zip": lambda raw: zipped(t=raw)}


@pytest.mark.parametrize("language", WORDS)
def test_words_of_every_script_are_whole_however_they_are_stored(tmp_path, monkeypatch, language):
    words = [unicodedata.normalize("NFC", word) for word in WORDS[language].split()]
    text = CAPITALS.get(language, WORDS[language].upper())
    rng = random.Random(language)
    for number, (pack, encoding) in enumerate(itertools.product(PACK, ENCODINGS)):
        monkeypatch.setattr(text_module, "_BLOCK", rng.choice([1, 3, 7, 1000]))
        form = rng.choice(["NFC", "NFD"])
        raw = unicodedata.normalize(form, f"1 {text}, «{text}»!\r\n{text}_2").encode(ENCODINGS[encoding])
        file = tmp_path / f"{number}.{rng.choice(['txt', 'gz', 'dat'])}"  # the name says nothing
        file.write_bytes(PACK[pack]((b"\xff\xfe" if encoding == "UTF-16 with a mark" else b"") + raw))
        assert whole(file) == words * 3, (pack, encoding, form)


def test_a_text_without_spaces_says_what_to_do(tmp_path):
    (tmp_path / "t.txt").write_text(
        "我们今天学习深度学习模型的训练方法。" * 40 + "学习自然语言处理的方法与应用", encoding="utf-8"
    )
    with pytest.raises(UserError, match=r"^t\.txt has no spaces between its words; .* jieba"):
        load_corpus(tmp_path / "t.txt")
    (tmp_path / "t.txt").write_text("我们 今天 学习 深度 学习 模型 。" * 40, encoding="utf-8")
    assert len(load_corpus(tmp_path / "t.txt").vocabulary) == 5


def test_a_text_is_not_read_further_than_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(text_module, "_BLOCK", 100)
    (tmp_path / "text").write_bytes(b"word " * 100_000 + b"\xff")
    assert whole(tmp_path / "text", most=12) == ["word", "word", "wo"]
    blocks = iter_words(tmp_path / "text")
    assert len(next(blocks)) == 20  # neither the rest of the text nor the broken byte at its end has been met
    with pytest.raises(UserError):
        list(blocks)


@pytest.mark.parametrize(
    ("name", "contents", "sentence"),
    [
        ("latin.txt", "Café".encode("latin-1"), r"latin.txt is not text in UTF-8 \(byte 0xe9"),
        ("cut.gz", gzip.compress(b"word " * 1000, mtime=0)[:-12], "cut.gz is not a whole .gz file"),
        ("no.gz", gzip.compress(b"words", mtime=0)[:3] + b"words" * 9, "no.gz is not a whole .gz file"),
        ("cut.bz2", bz2.compress(b"word " * 1000)[:-12], "cut.bz2 is not a whole .bz2 file"),
        ("cut.xz", lzma.compress(b"word " * 1000)[:-12], "cut.xz is not a whole .xz file"),
        ("cut.zip", zipped(t=b"word " * 1000)[:-12], "cut.zip is not a whole .zip file"),
        ("two.zip", zipped(a=b"a", b=b"b"), "two.zip holds 2 files; unpack it"),
        ("a.docx", zipped(**{"[Content_Types].xml": b"<a/>", "word/document.xml": b"<a/>"}), "an Office document"),
        ("a.epub", zipped(mimetype=b"application/epub+zip", page=b"<a/>"), "an e-book"),
        ("a.pdf", b"%PDF-1.7 word", "a.pdf is a PDF document, not plain text"),
        ("a.txt", b"  <!DOCTYPE html><html>", "a.txt is a web page"),
        ("a.fb2", b"\xef\xbb\xbf<?xml version='1.0'?>", "a.fb2 is an XML document"),
        ("a.rtf", b"{\\rtf1 word}", "an RTF document"),
        ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1", "an Office document"),
        ("a.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1", "a.jpg is not plain text"),
        ("missing.txt", None, "missing.txt cannot be read"),
    ],
)
def test_a_file_that_is_no_text_gets_one_sentence(tmp_path, name, contents, sentence):
    if contents is not None:
        (tmp_path / name).write_bytes(contents)
    with pytest.raises(UserError, match=sentence):
        load_corpus(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no words in t.txt"),
        ("1 2 3 !", "no words in t.txt"),
        ("word", r"In t\.txt there are 1 different word, of which 0 stand there 5 times"),
        ("word " * 50, "1 different word, of which 1 stand there 5 times"),
        ("all different words here", "4 different words, of which 0"),
    ],
)
def test_a_text_from_which_nothing_can_be_learned_gets_one_sentence(tmp_path, text, sentence):
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(UserError, match=sentence):
        load_corpus(tmp_path / "t.txt")


# --- vocabularies -----------------------------------------------------------------------------------------------------


def test_the_most_frequent_word_is_the_first_and_rare_ones_are_left_out():
    vocabulary = build_vocabulary([["b", "a", "c"], ["a", "b", "d", "a", "d"]], min_count=2)
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


# --- the synthetic corpus
# -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn() -> str:
    return generate_corpus()


def test_the_drawn_corpus_has_some_hundred_words_and_some_hundred_thousand_of_them(drawn):
    started = time.process_time()
    corpus = load_corpus("synthetic")
    assert time.process_time() - started < 5
    assert 300_000 <= len(corpus) < 301_000 and 300 <= len(corpus.vocabulary) <= 500
    assert sum(map(len, corpus.read())) == len(corpus) == len(split_words(drawn))


def test_the_same_seed_tells_the_same_stories(drawn):
    assert generate_corpus(2000, seed=1) == generate_corpus(2000, seed=1) != generate_corpus(2000, seed=2)
    assert drawn.startswith(generate_corpus(2000))


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
