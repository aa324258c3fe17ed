"""Sentences to numbers as Stable Diffusion's CLIP reads them: common words whole, rare ones in pieces.

Byte-pair encoding (Sennrich, Haddow and Birch, 2016): text is taken as bytes, and the pair that was most common in the
training text is joined first, then the next, 48,894 times. So nothing is unknown: what was never joined stays bytes.
The joining is done by the library `tokenizers`; what is CLIP's own is here (Radford et al., 2021, section 2.4).
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import torch

from stablediff_edu.errors import UserError

BOS, EOS = "<|startoftext|>", "<|endoftext|>"
CLIP_SHA256 = "5d827db2c026571b4380d244cf6012f0c5092b3b109d297c2e357a7ac598af06"  # of CLIP's own vocabulary, see below
# 's and its kin, runs of letters, single digits, runs of anything else but spaces: no piece crosses these borders
PRETOKENIZE_REGEX = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"


class CLIPTokenizer:
    """Turns sentences into rows of `max_length` numbers: start, the pieces, end, and the end again as padding.

    Capital letters and the kind and number of spaces make no difference. CLIP cuts too long a text; here it goes on in
    another row of `max_length`, with its own start and end, and so on: no text is too long.

    Args:
        vocab_file: `vocab.json`, every piece with its number; pieces that end a word end in `</w>`.
        merges_file: `merges.txt`, the pairs in the order in which they are joined.
        max_length: of every row.
        added: tokens besides the vocabulary, such as textual inversion adds: "id", "content" and how they are found.

    Raises:
        UserError: a file is missing, broken, or not CLIP's kind of vocabulary.
    """

    def __init__(
        self, vocab_file: str | Path, merges_file: str | Path, max_length: int = 77, added: Sequence[dict] = ()
    ) -> None:
        from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

        self.files, self.length = (Path(vocab_file), Path(merges_file)), max_length
        for file in self.files:
            if not file.is_file():
                raise UserError(f"The tokenizer's file {file} is missing; get the folder of the weights again.")
        try:
            pieces = models.BPE.from_file(*map(str, self.files), unk_token=EOS, end_of_word_suffix="</w>")
        except Exception as error:  # the library has no class of errors of its own
            raise UserError(
                f"{self.files[0]} and {self.files[1].name} are no vocabulary with its merges ({error}); get the folder "
                "of the weights again."
            ) from error
        self._tokenizer = tokenizer = Tokenizer(pieces)
        start, end = tokenizer.token_to_id(BOS), tokenizer.token_to_id(EOS)
        if start is None or end is None:
            raise UserError(f"{self.files[0]} has no {BOS} and {EOS}; it is not the vocabulary of a CLIP.")
        self.start, self.end = start, end  # 49,406 and 49,407 in CLIP's
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
        tokenizer.post_processor = processors.RobertaProcessing((EOS, self.end), (BOS, self.start))
        tokenizer.add_special_tokens([BOS, EOS])  # written in a prompt they are what they say
        self.added = [token for token in added if tokenizer.token_to_id(token["content"]) is None]
        for token in self.added:
            options = {name: token.get(name, False) for name in ("single_word", "lstrip", "rstrip", "special")}
            normalized = token.get("normalized", not options["special"])
            tokenizer.add_tokens([AddedToken(token["content"], normalized=normalized, **options)])
            if tokenizer.token_to_id(token["content"]) != token["id"]:
                raise UserError(
                    f"The added token {token['content']!r} of {self.files[0].parent} has the number {token['id']}, "
                    "which does not follow the vocabulary; get the folder of the weights again."
                )
        tokenizer.enable_truncation(max_length)
        tokenizer.enable_padding(length=max_length, pad_id=self.end, pad_token=EOS)

    def __len__(self) -> int:
        """How many different tokens there are."""
        return self._tokenizer.get_vocab_size()

    def __call__(self, sentences: str | Sequence[str]) -> torch.Tensor:
        """Return the tokens of sentences, (B, n · length) int64, where n is 1 if all fit; "" asks for nothing.

        Each further row of 75 pieces has start and end, and a shorter sentence has empty rows (the way of AUTOMATIC1111
        and compel).
        """
        sentences = [sentences] if isinstance(sentences, str) else list(sentences)
        found = self._tokenizer.encode_batch([validate_prompt(text) for text in sentences])
        rows = [[part.ids for part in (row, *row.overflowing)] for row in found]
        most = max(map(len, rows), default=1)
        empty = [self.start] + [self.end] * (self.length - 1)
        filled = [row + [empty] * (most - len(row)) for row in rows]
        return torch.tensor(filled, dtype=torch.int64).view(len(rows), most * self.length)

    def pieces(self, sentence: str) -> list[str]:
        """Return the pieces of a sentence as they are read, `</w>` where a word ends; start, end, padding left out."""
        found = self._tokenizer.encode(validate_prompt(sentence))
        parts = [zip(part.tokens, part.special_tokens_mask, strict=True) for part in (found, *found.overflowing)]
        return [piece for part in parts for piece, special in part if not special]


def vocabulary_sha256(vocabulary: Path, merges: Path) -> str:
    """Return the hash of the tokens in vocab.json, by number, and of the merges, however the files write them.

    Empty if the files hold something else.
    """
    try:
        numbers = json.loads(vocabulary.read_text(encoding="utf-8"))
        lines = merges.read_text(encoding="utf-8").split("\n")
        tokens = sorted(numbers, key=numbers.get)
    except (ValueError, TypeError, AttributeError):  # a web page, another JSON
        return ""
    pairs = [line for line in lines if line and not line.startswith("#version")]
    return hashlib.sha256("\n".join([*tokens, *pairs]).encode()).hexdigest()


def validate_prompt(sentence: object) -> str:
    """Return `sentence` if it can be encoded, else raise UserError."""
    if not isinstance(sentence, str):
        raise UserError(f"A prompt is a text; {str(sentence)[:40]!r} is a {type(sentence).__name__}: put it in quotes.")
    return sentence.encode(errors="replace").decode()  # halves of characters, which JSON and the web let through
