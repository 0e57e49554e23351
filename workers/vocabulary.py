"""Whether a model's tokenizer can spell a thinking format, found out without an engine."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Vocabulary

from workers.format import ThinkingFormat, Tokenizer, bind
from workers.recommended import find_file

# What vLLM loads by transformers.
_MODES = {None, "auto", "hf", "slow"}


class FileTokenizer:
    """A `tokenizer.json` and the end of turn that `tokenizer_config.json` names."""

    def __init__(self, vocabulary: Path, settings: Mapping[str, Any]) -> None:
        self._vocabulary = Vocabulary.from_file(str(vocabulary))
        end = settings.get("eos_token")
        text = end.get("content") if isinstance(end, Mapping) else end
        self.eos_token_id: int | None = None
        if isinstance(text, str):
            self.eos_token_id = self._vocabulary.token_to_id(text)

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        ids: list[int] = self._vocabulary.encode(text, add_special_tokens=add_special_tokens).ids
        return ids

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool = True) -> str:
        text: str = self._vocabulary.decode(token_ids, skip_special_tokens=skip_special_tokens)
        return text


def check_format(
    format_: ThinkingFormat, model: str, arguments: Mapping[str, Any] | None = None
) -> None:
    """Raise ValueError if the tokenizer of a model, a folder or a hub's name, cannot spell it.

    `arguments` are those of vLLM that name another tokenizer. Where the tokenizer cannot be read
    here, nothing is said: the engine will.
    """
    given = arguments or {}
    place = str(given.get("tokenizer") or model)
    revision = given.get("tokenizer_revision") or given.get("revision")
    if given.get("tokenizer_mode") not in _MODES or "VLLM_USE_MODELSCOPE" in os.environ:
        return
    try:
        bind(format_, _from_files(place, revision))
    except Exception:  # the files may hold anything; transformers has the last word
        tokenizer = load_tokenizer(place, revision)
        if tokenizer is not None:
            bind(format_, tokenizer)


def _from_files(place: str, revision: str | None) -> Tokenizer:
    """In milliseconds. Raises what the files make it raise."""
    settings = find_file(place, "tokenizer_config.json", revision)
    vocabulary = find_file(place, "tokenizer.json", revision)
    if settings is None or vocabulary is None:
        raise OSError(f"{place} has no tokenizer.json here")
    return FileTokenizer(vocabulary, json.loads(settings.read_text(encoding="utf-8")))


def load_tokenizer(place: str, revision: str | None = None) -> Any:
    """In seconds, as vLLM does; None where it cannot be read here."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(place, revision=revision, trust_remote_code=False)
    except Exception:  # no network, no such model, code that is not run
        return None
