"""Single tokens as text and as bytes, and what a core says of them, for callers to read."""

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain
from typing import Any

from workers.drivers.core import TokenLogprobs, floored
from workers.forcing.stop_text import PARTIAL
from workers.sample import ScoredToken


def whole_letters(text: str) -> str:
    """The text without a part of a character at its end: a cap may fall inside one."""
    return text.rstrip(PARTIAL)


def scored(
    tokenizer: Any, tokens: Iterable[tuple[int, TokenLogprobs]], top: int
) -> Iterator[ScoredToken]:
    """`top` is how many of the likeliest tokens to report at each."""
    for token, each in tokens:
        likeliest = list(zip(each.ids, each.top, strict=True))[:top]
        yield ScoredToken(
            *spelling(tokenizer, token),
            floored(each.sampled),
            tuple((spelling(tokenizer, key)[0], floored(value)) for key, value in likeliest),
        )


def spelling(tokenizer: Any, token: int) -> tuple[str, bytes]:
    """A token of a part of a character reads as a replacement character; its bytes are its own."""
    text: str = tokenizer.decode([token], skip_special_tokens=False)
    if PARTIAL not in text:
        return text, text.encode()
    letters: str = tokenizer.convert_ids_to_tokens(token)
    if letters.startswith("<0x"):  # as SentencePiece writes a byte
        return text, bytes([int(letters[3:-1], 16)])
    known = _byte_letters()
    own = [known[letter] for letter in letters if letter in known]
    return text, bytes(own) if len(own) == len(letters) else text.encode()


@cache
def _byte_letters() -> dict[str, int]:
    """The letters in which byte-level tokenizers (GPT-2's, Llama 3's, Qwen's) write bytes."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    letters = chain(((byte, byte) for byte in shown), zip(hidden, range(256, 512), strict=False))
    return {chr(letter): byte for byte, letter in letters}
