"""Drops rows that are incomplete or badly formatted, and counts thinking tokens (s1, section 2.2).

Incomplete means without a trace, an answer or a solution: what has no solution cannot be graded.
The patterns are those of the paper's notebook: vector pictures (but not in AIME), links to images,
numbered references such as "p12.", and bold runs before a digit.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa

from training.curate.rows import DROPPED, with_column
from workers.models import locate

PICTURE_SOURCES = ("AIME",)
_NUMBERED = re.compile(r"p[1-9][0-9]{0,2}\.")
_BOLD = re.compile(r"\*\*(?=.*\d)[^\s\]]*\*\*")
_NEEDED = ("thinking", "attempt", "solution")


def bad_format(question: str, source: str) -> str | None:
    """The pattern for which a question goes, or None."""
    if "[asy]" in question and source not in PICTURE_SOURCES:
        return "format: [asy]"
    if "![Image]" in question:
        return "format: ![Image]"
    if _NUMBERED.search(question):
        return "format: numbered reference"
    if _BOLD.search(question):
        return "format: bold run"
    return None


def missing(row: dict[str, Any]) -> str | None:
    """The first thing that a row lacks."""
    return next((f"missing: {n}" for n in _NEEDED if not (row[n] or "").strip()), None)


@dataclass(frozen=True, slots=True)
class Check:
    """Adds to a batch why a row goes, and the length of its thinking.

    The tokenizer is one of `counting_tokenizer`, as a `Mapper` shares it.
    """

    tokenizer: Callable[[], Any]

    def __call__(self, batch: pa.Table) -> pa.Table:
        rows = batch.select([*_NEEDED, "question", "source"]).to_pylist()
        reasons = [missing(row) or bad_format(row["question"], row["source"]) for row in rows]
        lengths = token_counts([row["thinking"] or "" for row in rows], _held(self.tokenizer))
        return with_column(with_column(batch, "thinking_tokens", lengths), DROPPED, reasons)


def counting_tokenizer(name: str) -> Any:
    """What `token_counts` takes. Raises ValueError.

    Where there is a fast tokenizer it is that alone: a process that gets it needs no transformers,
    which takes 300 MB.
    """
    loaded = load_tokenizer(name)
    return loaded.backend_tokenizer if loaded.is_fast else loaded


def token_counts(texts: list[str], tokenizer: Any) -> list[int]:
    """The tokens of each text, special ones not added."""
    if hasattr(tokenizer, "encode_batch_fast"):  # no lists of the tokens, which take as long again
        encoded = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [len(each) for each in encoded]
    return [len(tokenizer.encode(text, add_special_tokens=False)) for text in texts]


@cache
def _held(tokenizer: Callable[[], Any]) -> Any:
    """Fetched once in each process."""
    return tokenizer()


@cache
def load_tokenizer(name: str) -> Any:
    """A Hugging Face tokenizer: of s1-pocket, a folder, or the hub. Raises ValueError."""
    import transformers

    try:
        return transformers.AutoTokenizer.from_pretrained(locate(name))
    except (OSError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise ValueError(f"tokenizer {name!r} cannot be loaded: {first}") from None
