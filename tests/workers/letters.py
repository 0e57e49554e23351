"""A small tokenizer with merges: some strings are one token each, every other letter is its own."""

import re


class Letters:
    """Greedy, longest match first. Ids: 1, 2, ... for the known strings, 1000 + code point else.

    A `missing` letter is dropped when encoded, as some tokenizers do with what they do not know.
    """

    def __init__(self, *known: str, eos_token_id: int | None = 1, missing: str = "") -> None:
        self.known = {text: number for number, text in enumerate(known, 1)}
        self.eos_token_id = eos_token_id
        self._texts = {number: text for text, number in self.known.items()}
        self._missing = missing
        longest_first = sorted(map(re.escape, known), key=len, reverse=True)
        self._pattern = re.compile("|".join([*longest_first, "."]), re.DOTALL)

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        pieces = [piece for piece in self._pattern.findall(text) if piece not in [*self._missing]]
        ids = [self.known[piece] if piece in self.known else 1000 + ord(piece) for piece in pieces]
        return [0, *ids] if add_special_tokens else ids

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool = False) -> str:
        return "".join(self._texts.get(number) or chr(number - 1000) for number in token_ids)
