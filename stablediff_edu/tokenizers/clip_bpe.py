"""Sentences to numbers as Stable Diffusion's CLIP reads them: common words whole, rare ones in pieces.

Byte-pair encoding (Sennrich, Haddow and Birch, 2016): text is taken as bytes, and the pair that was most common in the
training text is joined first, then the next, 48,894 times. So nothing is unknown: what was never joined stays bytes.
The joining is done by the library `tokenizers`; what is CLIP's own is here (Radford et al., 2021, section 2.4).
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from stablediff_edu.errors import CourseError

START, END = "<|startoftext|>", "<|endoftext|>"
# 's and its kin, runs of letters, single digits, runs of anything else but spaces: no piece crosses these borders
WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"


class BytePairTokenizer:
    """Turns sentences into rows of `length` numbers: start, the pieces, end, and the end again as padding.

    Capital letters and the kind and number of spaces make no difference. Too long a text is cut, as CLIP does.

    Args:
        vocab_file: `vocab.json`, every piece with its number; pieces that end a word end in `</w>`.
        merges_file: `merges.txt`, the pairs in the order in which they are joined.
        length: of every row.

    Raises:
        CourseError: a file is missing, broken, or not CLIP's kind of vocabulary.
    """

    def __init__(self, vocab_file: str | Path, merges_file: str | Path, length: int = 77) -> None:
        from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

        self.files, self.length = (Path(vocab_file), Path(merges_file)), length
        for file in self.files:
            if not file.is_file():
                raise CourseError(f"The tokenizer's file {file} is missing; get the folder of the weights again.")
        try:
            pieces = models.BPE.from_file(*map(str, self.files), unk_token=END, end_of_word_suffix="</w>")
        except Exception as error:  # the library has no class of errors of its own
            raise CourseError(
                f"{self.files[0]} and {self.files[1].name} are no vocabulary with its merges ({error}); get the folder "
                "of the weights again."
            ) from error
        self._tokenizer = tokenizer = Tokenizer(pieces)
        if None in (numbers := [tokenizer.token_to_id(piece) for piece in (START, END)]):
            raise CourseError(f"{self.files[0]} has no {START} and {END}; it is not the vocabulary of a CLIP.")
        self.start, self.end = numbers  # 49,406 and 49,407 in CLIP's
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
        tokenizer.post_processor = processors.RobertaProcessing((END, self.end), (START, self.start))
        tokenizer.add_special_tokens([START, END])  # written in a prompt they are what they say
        tokenizer.enable_truncation(length)
        tokenizer.enable_padding(length=length, pad_id=self.end, pad_token=END)

    def __len__(self) -> int:
        """How many different tokens there are."""
        return self._tokenizer.get_vocab_size()

    def __call__(self, sentences: str | Sequence[str]) -> torch.Tensor:
        """Return the tokens of sentences, (B, length) int64; the empty sentence is the prompt that asks for nothing."""
        sentences = [sentences] if isinstance(sentences, str) else list(sentences)
        rows = [row.ids for row in self._tokenizer.encode_batch([checked_text(text) for text in sentences])]
        return torch.tensor(rows, dtype=torch.int64).view(len(rows), self.length)

    def pieces(self, sentence: str) -> list[str]:
        """Return the pieces of a sentence as they are read, `</w>` where a word ends; start, end, padding left out."""
        found = self._tokenizer.encode(checked_text(sentence))
        return [piece for piece, special in zip(found.tokens, found.special_tokens_mask, strict=True) if not special]

    def left_out(self, sentence: str) -> str:
        """Return the end of a sentence that is cut off because it has no place: "" if all of it fits."""
        overflow = self._tokenizer.encode(checked_text(sentence)).overflowing
        return sentence[overflow[0].offsets[1][0] :].strip() if overflow else ""  # offsets[0] is the start token's


def checked_text(sentence: str) -> str:
    """Return `sentence` if it can be encoded, else raise CourseError."""
    if not isinstance(sentence, str):
        raise CourseError(
            f"A prompt is a text; {str(sentence)[:40]!r} is a {type(sentence).__name__}: put it in quotes."
        )
    return sentence.encode(errors="replace").decode()  # halves of characters, which JSON and the web let through
