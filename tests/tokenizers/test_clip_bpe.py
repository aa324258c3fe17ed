"""CLIP's byte-pair encoding: token by token what transformers' CLIPTokenizer gives, whatever is typed."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CLIPTokenizer as TransformersTokenizer
from vocabulary import TEXT, write_vocabulary

from stablediff_edu.errors import UserError
from stablediff_edu.io.from_pretrained import added_tokens, tokenizer_files
from stablediff_edu.tokenizers.clip_bpe import (
    BOS,
    CLIP_SHA256,
    EOS,
    CLIPTokenizer,
    validate_prompt,
    vocabulary_sha256,
)

LENGTH = 77


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> tuple[Path, Path]:
    return write_vocabulary(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def ours(files) -> CLIPTokenizer:
    return CLIPTokenizer(*files)


@pytest.fixture(scope="module")
def theirs(files) -> TransformersTokenizer:
    return TransformersTokenizer(*map(str, files))


def as_theirs(theirs: TransformersTokenizer, texts: list[str]) -> list[list[int]]:
    """Rows of 75 of their tokens, each between start and end; all texts have as many rows as the longest."""
    found = [theirs(text, add_special_tokens=False).input_ids for text in texts]
    most = max(1, *(-(-len(ids) // 75) for ids in found))
    start, end = theirs.bos_token_id, theirs.eos_token_id
    parts = [[[start, *ids[75 * n : 75 * n + 75], end] for n in range(most)] for ids in found]
    return [[number for part in rows for number in part + [end] * (LENGTH - len(part))] for rows in parts]


LISTED = [
    "", " ", "\n\t \r", "a", "A RED SHIP", "a  red \n ship", TEXT, TEXT * 3, "x" * 500, "!" * 500, "1 2 3" * 40,
    "it's, we'll, they'd, I'm, you've, we're, don't, 'S 'T '", "''s", "1234567890", "½ ² Ⅷ ٣ 一二三", "café café",
    "ﬁ ß ẞ İ ı", "😀", "👍🏽", "👨\u200d👩\u200d👧 family", "🇩🇪", "Москва", "東京タワー", "مرحبا", "שָׁלוֹם", "हिन्दी", "ก็",
    "\u0301", "e\u0301\u0302\u0303" * 30, "\u200b\u200d\ufeff\u00a0\u2003\u3000", "\x00\x01\x1f\x7f\x85",
    "\U0010ffff\ufffe", "</w>", "the</w>", "Ġ", BOS, EOS, f"a {EOS} b{BOS}c", EOS.upper(), "<|endoftext", "a\\nb",
    "%s {}", "<b>&amp;</b>", "’“”…", "\u2028\u2029",
]  # fmt: skip


@pytest.mark.parametrize("text", LISTED, ids=lambda text: ascii(text)[:30])
def test_it_gives_what_transformers_gives(ours, theirs, text: str):
    assert ours(text).tolist() == as_theirs(theirs, [text])


PIECES = st.sampled_from(
    [*"aeinst '.,!?0129\n", "'s", "'ll", "the", "é", "e\u0301", "\u200d", "😀", "中", EOS, BOS, "</w>"]
)
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)  # all but halves of characters


@settings(max_examples=300, deadline=None)
@given(st.lists(ANY | st.lists(PIECES, max_size=150).map("".join), min_size=1, max_size=8))
def test_it_gives_what_transformers_gives_for_any_texts_in_a_batch(ours, theirs, texts: list[str]):
    assert ours(texts).tolist() == as_theirs(theirs, texts)


def test_pieces_that_end_a_word_are_others_than_those_that_do_not(ours):
    assert ours.pieces("the red xthe") == ["the</w>", "red</w>", "x", "the</w>"]
    assert ours.pieces("thex") == ["the", "x</w>"]
    assert ours("to")[0, 1] != ours("o")[0, 1] == ours("t o")[0, 2]


def test_a_row_is_start_pieces_end_and_the_end_as_padding(ours, files):
    numbers = json.loads(files[0].read_text())
    assert len(ours) == len(numbers) == ours.end + 1 and (ours.start, ours.end) == (numbers[BOS], numbers[EOS])
    row = ours("a b")
    assert row.dtype == torch.int64 and row.shape == (1, LENGTH)
    assert row[0].tolist() == [ours.start, numbers["a</w>"], numbers["b</w>"], *[ours.end] * 74]
    assert ours("").tolist() == [[ours.start, *[ours.end] * 76]]
    assert ours([]).shape == (0, LENGTH)


def test_other_lengths(files):
    rows = CLIPTokenizer(*files, max_length=5)("a b c d e f").view(2, 5)
    assert (rows[:, -1] == rows.max()).all() and rows[:, 1:4].unique().numel() == 6
    assert len(CLIPTokenizer(*files, max_length=5).pieces("a b c d e f")) == 6


@pytest.mark.parametrize("form", ["added_tokens.json", "tokenizer_config.json", "tokenizer.json"])
def test_added_tokens_are_read_as_transformers_reads_them(files, tmp_path, form):
    theirs = TransformersTokenizer(*map(str, files))
    theirs.add_tokens(["<cat-toy>", "sks"])
    theirs.save_pretrained(tmp_path)
    sentence = "A photo of a <cat-toy> and SKS, <cat-toy><cat-toy> sksx"
    expected = as_theirs(theirs, [sentence])
    added = {token: theirs.convert_tokens_to_ids(token) for token in ("<cat-toy>", "sks")}
    for other in {"added_tokens.json", "tokenizer_config.json", "tokenizer.json"} - {form}:
        (tmp_path / other).unlink(missing_ok=True)
    if form != "tokenizer.json":  # older folders have these
        shutil.copy(files[0], tmp_path), shutil.copy(files[1], tmp_path)
    older = {
        "added_tokens.json": added,
        "tokenizer_config.json": {"added_tokens_decoder": {str(id): {"content": token} for token, id in added.items()}},
    }
    if form in older:
        (tmp_path / form).write_text(json.dumps(older[form]))
    ours = CLIPTokenizer(*tokenizer_files(tmp_path), added=added_tokens(tmp_path))
    assert ours([sentence]).tolist() == expected and len(ours) == len(theirs)
    with pytest.raises(UserError, match="does not follow the vocabulary"):
        CLIPTokenizer(*files, added=[{"id": 9_999, "content": "<far>"}])


def test_half_a_character_becomes_a_question_mark_instead_of_an_exception(ours):
    assert ours("a \ud83d b").tolist() == ours("a ? b").tolist()


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", [5, None, 1.5, b"a ship", ["a ship"], {"a": 1}, torch.zeros(2)])
def test_a_prompt_that_is_no_text_gets_one_sentence(ours, prompt: object):
    for ask in (lambda: ours([prompt]), lambda: validate_prompt(prompt)):
        with pytest.raises(UserError, match=r"^A prompt is a text; .* put it in quotes\.$"):
            ask()


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize(
    "content", [None, b"", b"<html>not here</html>", b"\xff\xfe\x00", b"[1, 2]", b'{"a": "b"}', b"a b c d\n"]
)
def test_a_missing_or_broken_file_gets_one_sentence(files, tmp_path, number: int, content: bytes | None):
    broken = [tmp_path / file.name for file in files]
    for file, copy in zip(files, broken, strict=True):
        copy.write_bytes(file.read_bytes())
    broken[number].unlink() if content is None else broken[number].write_bytes(content)
    if number == 1 and content == b"":  # no pair is ever joined: letters alone are a vocabulary too
        assert len(CLIPTokenizer(*broken).pieces("the")) == 3
        return
    with pytest.raises(UserError, match=rf"{broken[0].parent}.*get the folder of the weights again\.$"):
        CLIPTokenizer(*broken)


def test_a_vocabulary_without_start_and_end_is_not_clips(files, tmp_path):
    numbers = json.loads(files[0].read_text())
    del numbers[BOS]
    (tmp_path / "vocab.json").write_text(json.dumps(numbers))
    with pytest.raises(UserError, match=re.escape(f"has no {BOS} and {EOS}; it is not the vocabulary of a CLIP.")):
        CLIPTokenizer(tmp_path / "vocab.json", files[1])


def test_merges_cut_off_in_the_middle_of_a_line_get_one_sentence(files, tmp_path):
    text = files[1].read_text(encoding="utf-8").rstrip().rsplit(" ", 1)[0]
    (tmp_path / "merges.txt").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"are no vocabulary with its merges"):
        CLIPTokenizer(files[0], tmp_path / "merges.txt")


def test_the_hash_is_that_of_clips_own_vocabulary(real_data, tmp_path):
    (tmp_path / "page").write_text("<html>")
    assert vocabulary_sha256(tmp_path / "page", tmp_path / "page") == ""
    assert vocabulary_sha256(*(real_data / "clip" / name for name in ("vocab.json", "merges.txt"))) == CLIP_SHA256
