"""Which policy answers a request, and within which caps.

Precedence, highest first: token budget, effort, `thinkbudget.policy`, model alias, server default.
A higher level overrides only the settings it contains: tokens and efforts also cap a policy that
the request names. The caps become limits of the query, which the scheduler holds for every policy.
"""

import re
from typing import Any, NamedTuple

from policies import POLICIES, build, options_of, rebuild
from policies.base import Policy
from policies.curves.curve import ClassCurve
from policies.plan import MAX_TOKENS
from scheduler.api.aliases import Alias
from scheduler.api.budget import BudgetRequest
from scheduler.api.protocol import BudgetOptions
from scheduler.errors import InvalidRequest
from scheduler.solving.controller import Controller
from scheduler.solving.effort import Effort, effort_of


class SelectedPolicy(NamedTuple):
    """`max_thinking_tokens` caps every chain; `clipped` is the cap asked for, if that is larger."""

    policy: Policy
    effort: Effort | None = None
    max_thinking_tokens: int | None = None
    clipped: int | None = None


def select(
    controller: Controller,
    wanted: BudgetOptions,
    budget: BudgetRequest,
    alias: Alias,
    curve: ClassCurve | None,
) -> SelectedPolicy:
    """The policy for one request.

    `wanted` is the request's `thinkbudget` object, `budget` what its other budget fields ask for,
    `curve` that of its class. Raises InvalidRequest that names the field.
    """
    server, room = controller.policy, controller.info.max_model_len
    is_named = wanted.policy is not None or alias.policy not in (None, "priced")
    name = wanted.policy or alias.policy or ("priced" if budget.votes else server.name)
    by_price = server.options.spends_by_price
    is_priced = name == "priced" or (by_price and name == server.name)
    effort = None
    if budget.effort is not None:
        effort = effort_of(
            budget.effort,
            curve,
            priced=is_priced or not is_named,
            room=room - server.options.answer_tokens,
        )
        if not is_named and effort.by == "off":
            name = "fixed"
        elif not is_named and effort.by == "curve" and not is_priced:
            name = "priced"
    policy = _build(name, server, alias, wanted, room)
    cap = budget.tokens
    if cap is None and wanted.policy_options.get("max_thinking_tokens") is None:
        cap = alias.cap if name == alias.policy else None
        cap = cap if effort is None or effort.tokens is None else effort.tokens
    if cap is None:
        return SelectedPolicy(policy, effort)
    # A cap that a policy declares but cannot change holds beside that of the request.
    if options_of(policy).get("max_thinking_tokens") is not None:
        policy = policy.with_options(max_thinking_tokens=None)
    clipped = cap if room < cap < MAX_TOKENS else None
    return SelectedPolicy(policy, effort, min(cap, room), clipped)


def _build(name: str, server: Policy, alias: Alias, wanted: BudgetOptions, room: int) -> Policy:
    """What the request leaves open is as the alias, and then the server, has it."""
    # The answer's reserve belongs to the server's model, whatever the policy.
    given: dict[str, Any] = {"answer_tokens": server.options.answer_tokens}
    if name == server.name and not (name == alias.policy == "fixed"):
        if not (wanted.policy_options or (name == alias.policy and alias.options)):
            return server
        given |= options_of(server)
    # A policy that somebody wrote is known by the server alone, and cannot be built by name.
    is_foreign = name == server.name and POLICIES.get(name) is not type(server)
    given = {} if is_foreign else given
    if name == alias.policy:
        given |= alias.options
    options = given | wanted.policy_options
    try:
        policy = rebuild(server, **options) if is_foreign else build(name, **options)
        _ = policy.options  # A policy written outside may check its options only here.
    except ValueError as error:
        blamed = [*wanted.policy_options, *given] if is_foreign or name in POLICIES else []
        named = [key for key in blamed if re.search(rf"\b{re.escape(key)}\b", str(error))]
        field = named[0] if named else "policy"
        raise InvalidRequest(str(error), field=f"thinkbudget.{field}") from None
    for field in ("max_thinking_tokens", "min_thinking_tokens"):
        if (options.get(field) or 0) > room:
            message = f"{field} is {options[field]}, more than the context of {room} tokens"
            raise InvalidRequest(message, field=f"thinkbudget.{field}")
    return policy
