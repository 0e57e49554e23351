"""The tokenizer of a simulated model: every word is a token, and a message has some more."""

import json
import re
import zlib

from workers.completion import CompletionRequest, Tokenized
from workers.engine import Refused

MESSAGE_TOKENS = 4
MOST_WORDS = 100_000


class WordVocabulary:
    """Ids are hashes of words. Of the latest MOST_WORDS words it knows what their ids mean."""

    def __init__(self) -> None:
        self._words: dict[int, str] = {}

    def answer(self, request: CompletionRequest) -> Tokenized:
        """By the purpose of the request. Raises Refused for ids that mean nothing."""
        if request.purpose == "describe":
            return Tokenized(about=json.dumps({"tokenizer_class": type(self).__name__}))
        if request.purpose == "detokenize":
            return Tokenized(text="".join(self._word(token) for token in request.prompt))
        if not isinstance(request.prompt, str):
            raise Refused("prompt", "prompt must be a text")
        words = _words(request.prompt)
        for role, text, *_ in request.messages:
            words += ["<|", role, "|>", *_words(text), "\n"]
        return Tokenized(tuple(self._id(word) for word in words), tuple(words))

    def _id(self, word: str) -> int:
        token = zlib.crc32(word.encode(errors="replace")) >> 1
        self._words.pop(token, None)
        self._words[token] = word
        if len(self._words) > MOST_WORDS:
            del self._words[next(iter(self._words))]
        return token

    def _word(self, token: int | str) -> str:
        if not isinstance(token, int) or token not in self._words:
            raise Refused("tokens", f"tokens holds {token}, which this model does not know")
        return self._words[token]


def _words(text: str) -> list[str]:
    return re.findall(r"\s*\S+", text)
