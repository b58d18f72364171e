"""Text to token ids, as BERT's own tokenizer does it: clean, split, then the longest known piece first.

Devlin et al., "BERT", arXiv:1810.04805; Wu et al., arXiv:1609.08144, for the pieces. `tests/unit/test_text.py` holds
ids that the reference implementation gives.
"""

import unicodedata
from pathlib import Path

from foldstack.errors import FoldstackError
from foldstack.jobs import read_json

LONGEST_WORD = 100
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
# Chinese characters stand for words, so each is a word of its own.
IDEOGRAPHS = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2EBEF), (0xF900, 0xFAFF),
              (0x2F800, 0x2FA1F))  # fmt: skip


class WordPiece:
    """The tokenizer of a model's folder, from its vocab.txt and tokenizer_config.json.

    Raises:
        FoldstackError: a file is missing or lacks what a tokenizer needs.
    """

    def __init__(self, folder):
        path, settings = Path(folder) / "vocab.txt", Path(folder) / "tokenizer_config.json"
        try:
            pieces = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise FoldstackError(f"{path} cannot be read ({error}); a text encoder's folder holds it.") from error
        self.ids = {piece: number for number, piece in enumerate(pieces)}
        missing = [token for token in SPECIAL if token not in self.ids]
        if missing:
            raise FoldstackError(f"{path} has no {missing[0]}, so it is no vocabulary of BERT; give another folder.")
        self.lower = bool(read_json(settings).get("do_lower_case", True)) if settings.exists() else True

    def encode(self, text: str, longest: int) -> list[int]:
        """Token ids of a text with [CLS] and [SEP] around them, at most `longest` in all."""
        pieces = [piece for word in self._words(text) for piece in self._pieces(word)]
        return [self.ids["[CLS]"], *pieces[: longest - 2], self.ids["[SEP]"]]

    def _words(self, text: str) -> list[str]:
        cleaned = "".join(" " if _is_space(letter) else letter for letter in text if not _is_control(letter))
        spaced = "".join(f" {letter} " if _is_ideograph(letter) else letter for letter in cleaned)
        words = []
        for word in spaced.split():
            if self.lower:
                bare = unicodedata.normalize("NFD", word.lower())
                word = "".join(letter for letter in bare if unicodedata.category(letter) != "Mn")
            words += "".join(f" {letter} " if _is_punctuation(letter) else letter for letter in word).split()
        return words

    def _pieces(self, word: str) -> list[int]:
        unknown, found, start = [self.ids["[UNK]"]], [], 0
        if len(word) > LONGEST_WORD:
            return unknown
        while start < len(word):
            prefix = "##" if start else ""
            end = next((end for end in range(len(word), start, -1) if prefix + word[start:end] in self.ids), None)
            if end is None:
                return unknown
            found.append(self.ids[prefix + word[start:end]])
            start = end
        return found


def _is_space(letter: str) -> bool:
    return letter in " \t\n\r" or unicodedata.category(letter) == "Zs"


def _is_control(letter: str) -> bool:
    return letter in "\0\ufffd" or (letter not in "\t\n\r" and unicodedata.category(letter) in ("Cc", "Cf", "Co"))


def _is_ideograph(letter: str) -> bool:
    return any(first <= ord(letter) <= last for first, last in IDEOGRAPHS)


def _is_punctuation(letter: str) -> bool:
    """All of ASCII that is neither letter, digit nor space counts, such as $ and ^."""
    code = ord(letter)
    ascii_sign = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    return ascii_sign or unicodedata.category(letter).startswith("P")
