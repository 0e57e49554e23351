"""Fields of a request that would change its answer, and do not: the reply names them.

A budget that is misspelt, or that only another vendor knows, must not vanish without a word.
"""

import re
from collections.abc import Collection, Iterator
from typing import Any

from scheduler.api.protocol import ChatRequest

_LOOKS_LIKE_A_BUDGET = re.compile(r"budget|think|reason|effort|token|sample|guided|best_of", re.I)
_WITHOUT_EFFECT: dict[str, tuple[object, ...]] = {
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
    "length_penalty": (1,),
    "logit_bias": ({},),
    "top_k": (-1, 0),
    "min_p": (0,),
    "verbosity": ("medium",),
    "functions": ([],),
    "function_call": ("none",),
    "structured_outputs": (),
    "web_search_options": (),
    "bad_words": ([],),
    "ignore_eos": (False,),
    "continue_final_message": (False,),
    "echo": (False,),
    "extra_body": ({},),
    "use_beam_search": (False,),
    "include_stop_str_in_output": (False,),
    "logits_processors": (),
    "priority": (0,),
}
"""Names that no pattern finds, and the values with which they change nothing."""
_OF_CHAT_ALONE = ("response_format", "tools", "tool_choice", "messages")
"""What other routes do not heed."""
_EXTRAS = ("reasoning", "thinking", "chat_template_kwargs")
_HARMLESS = {
    "reasoning.summary",
    "reasoning.generate_summary",
    "reasoning.context",
    "thinking.display",
}
_PRINTABLE = re.compile(r"[\w.-]{1,64}", re.ASCII)
MOST_NAMES = 20


def unheeded(body: dict[str, Any], request: ChatRequest, *, seeds: bool) -> tuple[str, ...]:
    """Their names in the order of the body; `seeds`: whether the engine heeds a seed."""
    names = [*unknown(body, ChatRequest.model_fields.keys() - _WITHOUT_EFFECT), *_inside(request)]
    if request.seed is not None and not seeds:
        names.append("seed")
    if request.separate_reasoning is False:
        names.append("separate_reasoning")
    return tuple(name for name in names if _PRINTABLE.fullmatch(name))[:MOST_NAMES]


def unknown(body: dict[str, Any], heeded: Collection[str]) -> Iterator[str]:
    """Names of a body that are not among the heeded ones, and would change an answer."""
    for name, value in body.items():
        if value is None or name in heeded or not _PRINTABLE.fullmatch(name):
            continue
        if name in _WITHOUT_EFFECT:
            if value not in _WITHOUT_EFFECT[name]:
                yield name
        elif name in _OF_CHAT_ALONE or _LOOKS_LIKE_A_BUDGET.search(name):
            yield name


def _inside(request: ChatRequest) -> Iterator[str]:
    for name in _EXTRAS:
        options = getattr(request, name)
        for inner, value in ((options and options.model_extra) or {}).items():
            if value is not None and (place := f"{name}.{inner}") not in _HARMLESS:
                yield place
