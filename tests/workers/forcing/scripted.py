"""A model that says what it is told, one token a letter, and the driver's loop around it.

In scripts S is <|im_start|>, E <|im_end|>, "." a token ".\\n", and any other letter itself. A stop
that is held back is skipped; when a script has ended comes "z" for ever.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain as concat
from itertools import repeat
from typing import Any, TypedDict

from policies.plan import Budget
from tests.workers.letters import Letters
from workers.forcing.chain import Chain, Finish, GenerateCall, Segment
from workers.forcing.harness import chain_for
from workers.format import S1, TokenFormat, bind

LETTERS = Letters("<|im_end|>", "<|im_start|>", ".\n", "Wait", "think", "answer", "Final Answer:")
NAMES = {"E": 1, "S": 2, ".": 3}
FORMAT = bind(S1, LETTERS)


class Compat(TypedDict, total=False):
    """The options of a budget that choose the paper's semantics."""

    harness_compat: bool
    readme_compat: bool


def compat_of(semantics: str) -> Compat:
    """For `clean`, `harness_compat` or `readme_compat`."""
    if semantics == "harness_compat":
        return {"harness_compat": True}
    return {"readme_compat": True} if semantics == "readme_compat" else {}


def ids(script: str) -> list[int]:
    return [NAMES.get(letter, 1000 + ord(letter)) for letter in script]


@dataclass
class Model:
    """Gives what it says in pieces of these sizes, the rest at the end of a call in one."""

    thinking: str
    answer: str = "!E"
    sizes: Iterator[int] = field(default_factory=lambda: repeat(1000))
    calls: list[GenerateCall] = field(default_factory=list)

    def run(self, chain: Chain) -> list[Segment]:
        scripts = {
            "thinking": concat(ids(self.thinking), repeat(1000 + ord("z"))),
            "answer": concat(ids(self.answer), repeat(1000 + ord("z"))),
        }
        segments = chain.opening()
        while call := chain.next_call():
            self.calls.append(call)
            said, finish = say(call, scripts[chain.phase])
            while len(said) > (size := next(self.sizes)):
                segments += chain.feed(said[:size], None)
                said = said[size:]
            segments += chain.feed(said, finish)
        return segments


def say(call: GenerateCall, script: Iterator[int]) -> tuple[list[int], Finish]:
    """One call. Stop texts are found in what this call has said, and as with vLLM nothing is held
    back where there are any.
    """
    assert 0 <= call.min_tokens <= call.max_tokens
    assert call.max_tokens >= 1
    said: list[int] = []
    for token in script:
        if token in call.stops and len(said) < call.min_tokens and not call.stop_texts:
            continue
        said.append(token)
        text = LETTERS.decode(said) if call.stop_texts else ""
        if token in call.stops or any(stop in text for stop in call.stop_texts):
            return said, "stop"
        if len(said) == call.max_tokens:
            break
    return said, "length"


def run(
    script: str, format_: TokenFormat = FORMAT, room: int = 99, **budget: Any
) -> tuple[Chain, Model]:
    model, chain = Model(script), chain_for(format_, Budget(**budget), room)
    model.run(chain)
    assert chain.violations() == ()
    return chain, model


def spoken(chain: Chain) -> tuple[str, str, int]:
    """Thinking, closing, and how many extensions."""
    decode = chain.format.decode
    return decode(chain.thinking), decode(chain.closing), chain.extensions_used
