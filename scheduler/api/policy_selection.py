"""How a request is to be thought about: its policy, within all that its budget inputs say.

What goes first: tokens, then an effort, then `thinkbudget.policy`, then the model's alias, then the
server's own policy. What says less leaves the rest as what comes after it has it: tokens and
efforts cap whatever policy is named.
"""

import re
from dataclasses import fields
from typing import Any, NamedTuple

from policies import POLICIES, build
from policies.base import Policy
from policies.curves.curve import ClassCurve
from policies.plan import MAX_TOKENS, Budget
from scheduler.api.aliases import Alias
from scheduler.api.budget import BudgetRequest
from scheduler.api.protocol import BudgetOptions
from scheduler.errors import InvalidRequest
from scheduler.solving.controller import Controller
from scheduler.solving.effort import Effort, effort_of


class SelectedPolicy(NamedTuple):
    """`clipped` is the cap that was asked for, where the context has less room."""

    policy: Policy
    effort: Effort | None = None
    clipped: int | None = None


def choose(
    controller: Controller,
    wish: BudgetOptions,
    budget: BudgetRequest,
    alias: Alias,
    curve: ClassCurve | None,
    most_tokens: int | None = None,
) -> SelectedPolicy:
    """`most_tokens` is OpenAI's limit of a chain, thinking and answer together."""
    own, room = _options(controller.policy), controller.info.max_model_len
    names_rule = wish.policy is not None or alias.policy not in (None, "priced")
    name = wish.policy or alias.policy or ("priced" if budget.votes else controller.policy.name)
    effort = None
    if budget.effort is not None:
        effort = effort_of(
            budget.effort,
            curve,
            priced=name == "priced" or not names_rule,
            votes_only=bool(own.get("votes_only")),
            room=room - own["answer_tokens"],
        )
        if not names_rule and effort.by != "table":
            name = "priced" if effort.by == "curve" else "fixed"
    policy = _build(name, own, controller.policy.name, alias, wish, room)
    asked = budget.tokens
    if asked is None and wish.policy_options.get("max_thinking_tokens") is None:
        asked = alias.cap if name == alias.policy else None
        asked = asked if effort is None or effort.tokens is None else effort.tokens
    if asked is not None:
        policy = _capped(policy, min(asked, room))
    if most_tokens is not None:
        policy = _within(policy, most_tokens)
    return SelectedPolicy(policy, effort, asked if asked and room < asked < MAX_TOKENS else None)


def _build(
    name: str, own: dict[str, Any], servers: str, alias: Alias, wish: BudgetOptions, room: int
) -> Policy:
    """What the request leaves open is as the alias, and then the server, has it."""
    # The answer's reserve belongs to the server's model, whatever the policy.
    reserve = {"answer_tokens": own["answer_tokens"]}
    given = own if name == servers else reserve
    if name == alias.policy:
        given = (reserve if name == "fixed" else given) | alias.options
    options = given | wish.policy_options
    try:
        policy = build(name, **options)
    except ValueError as error:
        blamed = [*wish.policy_options, *given] if name in POLICIES else []
        named = [key for key in blamed if re.search(rf"\b{re.escape(key)}\b", str(error))]
        field = named[0] if named else "policy"
        raise InvalidRequest(str(error), field=f"thinkbudget.{field}") from None
    for field in ("max_thinking_tokens", "min_thinking_tokens"):
        if (options.get(field) or 0) > room:
            message = f"{field} is {options[field]}, more than the context of {room} tokens"
            raise InvalidRequest(message, field=f"thinkbudget.{field}")
    return policy


def _capped(policy: Policy, cap: int) -> Policy:
    """The policy with this cap on every chain's thinking in place of its own."""
    return _with(policy, _budget(_options(policy) | {"max_thinking_tokens": cap}))


def _within(policy: Policy, most: int) -> Policy:
    """The policy with every chain within OpenAI's limit, which counts the thinking in."""
    options = _options(policy)
    answer = min(options["answer_tokens"], max(1, most // 4))
    return _with(policy, _budget(options, most - answer) | {"answer_tokens": answer})


def _budget(options: dict[str, Any], most: int = MAX_TOKENS) -> dict[str, int]:
    """The options that bound thinking, made to fit; see `Budget.capped`."""
    cap = options["max_thinking_tokens"]
    cap = min(most, MAX_TOKENS if cap is None else cap)
    least, extensions = options.get("min_thinking_tokens", 0), options.get("extensions", 0)
    fitting = Budget(MAX_TOKENS, least, extensions).capped(cap)
    return {
        "max_thinking_tokens": fitting.max_thinking_tokens,
        "min_thinking_tokens": fitting.min_thinking_tokens,
        "extensions": fitting.extensions,
    }


def _with(policy: Policy, changed: dict[str, int]) -> Policy:
    options = _options(policy)
    return build(policy.name, **{name: changed.get(name, options[name]) for name in options})


def _options(policy: Policy) -> dict[str, Any]:
    return {field.name: getattr(policy, field.name) for field in fields(policy)}  # type: ignore[arg-type]
