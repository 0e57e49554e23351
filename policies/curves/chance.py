"""How likely an answer is right, once all votes or extensions are in."""

from policies.curves.curve import ClassCurve
from policies.curves.extension_counts import last_state
from policies.curves.extension_rule import NextExtension
from policies.curves.extension_rule import next_extension as next_of
from policies.curves.plans.table import PlanOption
from policies.curves.tail_confidence import tail_of
from policies.curves.vote_types import INDEX, MAX_VOTES
from policies.plan import Plan
from policies.tally import Tally


def chance_right(curve: ClassCurve | None, plan: Plan | None, tally: Tally) -> float | None:
    """That of the leader to be right, by the class's curve; None where it has no estimate."""
    if tally.leader is None:
        return 0.0
    if curve is None or plan is None:
        return None
    standing = Tally(tally.voting[:MAX_VOTES]).standing
    if plan.setting is not None:
        option = plan_option(curve, plan)
        return option.chance(standing) if option else None
    chains = {vote.chain for vote in tally.history}
    ends = tally.history
    if len(chains) == 1 and ends[-1].extensions and curve.extension:
        # A chain that was forced on in one go shows its last end only.
        if [end.extensions for end in ends] != list(range(len(ends))):
            reached = min(ends[-1].extensions, curve.extension.max_extensions)
            return curve.extension.accuracy[reached]
        return curve.extension.chance(last_state(ends), tail_of(ends[-1]))
    cap = plan.budget.max_thinking_tokens
    if len(chains) == 1 and ends[0].thinking_tokens >= cap:
        return curve.length.at(cap).accuracy if curve.length else None
    return float(curve.votes.right[INDEX[standing], 0]) if curve.votes else None


def plan_option(curve: ClassCurve, plan: Plan) -> PlanOption | None:
    """What is known of a plan with a setting."""
    if curve.plans is None or plan.setting is None:
        return None
    return curve.plans.table(plan.price or curve.price).plan(
        plan.setting, is_alone=plan.temperature == 0
    )


def next_extension(curve: ClassCurve, plan: Plan, tally: Tally) -> NextExtension | None:
    """What one more would bring the only chain of a plan that extends while that pays.

    None of a chain that was cut, or has no answer: its class has learned of others only.
    """
    ends, known = tally.history, curve.plans.extension if curve.plans else None
    if known is None or plan.setting is None or plan.setting.kind != "extend" or not ends:
        return None
    if len({end.chain for end in ends}) > 1 or ends[-1].extensions >= known.max_extensions:
        return None
    is_cut = not ends[-1].ended_by_itself
    return None if is_cut or ends[-1].answer is None else next_of(known, ends)
