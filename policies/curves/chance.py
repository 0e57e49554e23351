"""How likely an answer is right, once all votes or extensions are in."""

from policies.curves.curve import ClassCurve
from policies.curves.extension_counts import STATES, states
from policies.curves.joint.curve import JointPlan
from policies.curves.vote_types import INDEX, MAX_VOTES
from policies.plan import Plan
from policies.tally import Tally


def chance_right(curve: ClassCurve | None, plan: Plan | None, tally: Tally) -> float | None:
    """That of the leader to be right, by the class's curve; None where it has no estimate."""
    if tally.leader is None:
        return 0.0
    if curve is None or plan is None:
        return None
    if plan.setting is not None:
        best = joint_plan(curve, plan)
        return best.chance(Tally(tally.voting[:MAX_VOTES]).standing) if best else None
    if plan.name == "cap" and curve.length:
        return curve.length.at(plan.budget.max_thinking_tokens).accuracy
    if not plan.is_single_chain:
        standing = Tally(tally.voting[:MAX_VOTES]).standing
        return float(curve.votes.right[INDEX[standing], 0]) if curve.votes else None
    if curve.extension is None:
        return None
    number = tally.history[0].chain
    ends = [vote for vote in tally.history if vote.chain == number]
    # A chain that was forced on in one go shows its last end only.
    if [end.extensions for end in ends] != list(range(len(ends))):
        reached = min(ends[-1].extensions, curve.extension.max_extensions)
        return curve.extension.accuracy[reached]
    *_, state = states([end.answer for end in ends])
    return curve.extension.right[STATES.index(state)]


def joint_plan(curve: ClassCurve, plan: Plan) -> JointPlan | None:
    """What is known of a joint plan."""
    if curve.joint is None or plan.setting is None:
        return None
    return curve.joint.table(plan.price or curve.price).plan(plan.setting)
