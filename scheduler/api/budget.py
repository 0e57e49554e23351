"""Every vendor's way to ask for more or less thinking, read as one request.

Tokens bound the thinking of every chain; an effort is a point on what has been learned. Where both
are given both hold, or the request is refused, as is one that says two different things.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple, TypeVar

from policies.plan import MAX_TOKENS
from scheduler.api.protocol import ChatRequest, EffortLevel
from scheduler.errors import InvalidRequest

T = TypeVar("T")
OWN_CAP = "thinkbudget.max_thinking_tokens"


class BudgetRequest(NamedTuple):
    """`tokens` is the cap on a chain's thinking, where it is not an option of the policy already;
    `votes` says that more than one chain may be asked.
    """

    tokens: int | None = None
    effort: EffortLevel | None = None
    votes: bool = False


def read(request: ChatRequest) -> BudgetRequest:
    """Raises InvalidRequest, code `conflicting_budget`, that names both fields."""
    cap_field, cap = _agreed(_tokens(request))
    effort_field, effort = _agreed(_efforts(request))
    if effort and cap is not None and (effort == "none") != (cap == 0):
        raise _conflict(effort_field, effort, cap_field, cap)
    most_field, most = (effort_field, 0) if effort == "none" else (cap_field, cap)
    for field, least in _demands(request, most_field).items():
        if most is not None and 0 <= most < least:
            raise _conflict(most_field, effort if effort == "none" else cap, field, least)
    if cap is not None:
        cap = None if cap_field == OWN_CAP else MAX_TOKENS if cap < 0 else cap
    votes = request.reasoning is not None and request.reasoning.mode == "pro"
    return BudgetRequest(cap, effort, votes)


def _agreed(given: Mapping[str, T]) -> tuple[str, T | None]:
    """The value that all fields have, and the first of them."""
    for (field, value), (other, instead) in pairwise(given.items()):
        if value != instead:
            raise _conflict(field, value, other, instead)
    return next(iter(given.items()), ("", None))


def _tokens(request: ChatRequest) -> dict[str, int]:
    reasoning, thinking = request.reasoning, request.thinking
    template, own = request.chat_template_kwargs, request.thinkbudget.policy_options
    given = {
        "thinking_token_budget": request.thinking_token_budget,
        "reasoning.max_tokens": reasoning.max_tokens if reasoning else None,
        "thinking.budget_tokens": thinking.budget_tokens if thinking else None,
        "thinking_budget": request.thinking_budget,
        "chat_template_kwargs.thinking_budget": template.thinking_budget if template else None,
        OWN_CAP: own.get("max_thinking_tokens"),
    }
    # What is no whole number in the last one is refused where policies are built.
    return {field: value for field, value in given.items() if type(value) is int}


def _demands(request: ChatRequest, most_field: str) -> dict[str, int]:
    """Thinking that must not be forbidden: what is switched on, a minimum, and some for a "Wait".

    Where the policy's own options exclude each other, the policy says so.
    """
    switched = {field: is_on for field, is_on in _switches(request) if is_on}
    own = {} if most_field == OWN_CAP else request.thinkbudget.policy_options
    least, extensions = own.get("min_thinking_tokens"), own.get("extensions")
    return switched | {
        "thinkbudget.min_thinking_tokens": least if type(least) is int else 0,
        "thinkbudget.extensions": int(type(extensions) is int and extensions > 0),
    }


def _efforts(request: ChatRequest) -> dict[str, EffortLevel]:
    """Thinking switched off is an effort of none."""
    given = {
        "reasoning_effort": request.reasoning_effort,
        "reasoning.effort": request.reasoning.effort if request.reasoning else None,
    }
    efforts = {field: effort for field, effort in given.items() if effort}
    return efforts | {field: "none" for field, is_on in _switches(request) if not is_on}


def _switches(request: ChatRequest) -> list[tuple[str, bool]]:
    template = request.chat_template_kwargs
    given = {
        "reasoning.enabled": request.reasoning.enabled if request.reasoning else None,
        "thinking.type": request.thinking.type != "disabled" if request.thinking else None,
        "enable_thinking": request.enable_thinking,
        "chat_template_kwargs.enable_thinking": template.enable_thinking if template else None,
        "chat_template_kwargs.thinking": template.thinking if template else None,
    }
    return [(field, is_on) for field, is_on in given.items() if is_on is not None]


def _conflict(field: str, value: object, other: str, instead: object) -> InvalidRequest:
    message = f"{field} ({value!r}) and {other} ({instead!r}) cannot both hold"
    return InvalidRequest(message, field=other, code="conflicting_budget")
