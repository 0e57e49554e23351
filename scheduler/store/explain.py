"""One outcome in words: what was decided and why, what it cost, what would have been cheaper."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from scheduler.store.records import StoreRecord


class CheaperWay(NamedTuple):
    """Another way to spend that is expected to be as accurate for fewer tokens."""

    name: str
    accuracy: float
    tokens: float


def explain(outcome: StoreRecord, curve: StoreRecord | None = None) -> str:
    """`curve` is what is known of the class by now (`newest_curve`), None where nothing is."""
    return "\n".join([*_what(outcome), *_why(outcome), *_steps(outcome), *_cost(outcome),
                      *_cheaper(outcome, curve)])  # fmt: skip


def cheaper_then(outcome: StoreRecord) -> list[CheaperWay]:
    """Of the ways that the class's curve offered at the decision, cheapest first."""
    offered = (outcome.get("considered") or {}).get("alternatives") or ()
    ways = [CheaperWay(each["name"], each["accuracy"], each["tokens"]) for each in offered]
    return _as_good(outcome, ways)


def cheaper_now(outcome: StoreRecord, curve: StoreRecord) -> list[CheaperWay]:
    """Of the fixed settings on a newer curve, cheapest first."""
    ways = [
        CheaperWay(f"{point['kind']} {point['x']}", point["accuracy"], point["tokens"])
        for point in curve["points"]
    ]
    return _as_good(outcome, ways)


def _as_good(outcome: StoreRecord, ways: list[CheaperWay]) -> list[CheaperWay]:
    """Those that promise what this query's own plan did, for less than it took."""
    aim, spent = _expected(outcome), outcome["tokens"]["total"]
    if aim is None:
        return []
    good = [way for way in ways if way.accuracy >= aim - 1e-9 and way.tokens < spent]
    return sorted(good, key=lambda way: way.tokens)


def _expected(outcome: StoreRecord) -> float | None:
    """The accuracy that the plan was chosen for, else that which the answer was given."""
    forecast = (outcome.get("plan") or {}).get("forecast")
    if forecast is not None:
        return float(forecast["accuracy"])
    return outcome.get("chance")


def _what(outcome: StoreRecord) -> Iterator[str]:
    at = datetime.fromtimestamp(outcome["at"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    yield f"outcome {outcome['id']}, {at}, model {outcome['model']}"
    if outcome.get("question") is not None:
        yield f"  question: {_brief(outcome['question'])}"
    right = {True: "right", False: "wrong", None: "not checked"}[outcome["correct"]]
    if outcome["correct"] is None and outcome.get("reward") is not None:
        right = f"labelled {outcome['reward']:g}"
    chance = outcome.get("chance")
    likely = "" if chance is None else f", {chance:.0%} likely to be right"
    yield (
        f"  answer: {_brief(outcome['answer'])} ({right}{likely}), agreement "
        f"{outcome['agreement']:.0%}, stopped: {outcome['stop_reason']}"
    )


def _why(outcome: StoreRecord) -> Iterator[str]:
    considered, plan = outcome.get("considered") or {}, outcome.get("plan")
    yield (
        f"decided: policy {outcome['policy']}, class {outcome['class']!r}, price "
        f"{outcome['price']:.2e} accuracy a token"
    )
    if (seen := considered.get("queries")) is not None:
        yield (
            f"  its curve stood on {seen:.0f} queries, {considered['labelled']:.0f} of known "
            f"answer; load {considered['load']:.2f}"
        )
    if plan is None:
        yield "  plan: none; the policy decides without one"
        return
    kind = "an exploration run, to learn" if plan.get("is_exploration") else "best at the price"
    propensity = outcome.get("propensity", plan.get("propensity"))
    chosen = "" if propensity is None else f", chosen with probability {propensity:.3g}"
    yield f"  plan: {plan['name']} ({kind}{chosen})"
    if plan.get("forecast"):
        accuracy, tokens = plan["forecast"]["accuracy"], plan["forecast"]["tokens"]
        yield f"  expected: {accuracy:.1%} right for {tokens:.0f} tokens"
    for each in considered.get("alternatives") or ():
        net = each["accuracy"] - outcome["price"] * each["tokens"]
        yield (
            f"  offered: {each['name']}: "
            f"{each['accuracy']:.1%} ± {each['error']:.1%} for {each['tokens']:.0f} tokens, "
            f"net value {net:+.3f}"
        )


def _steps(outcome: StoreRecord) -> Iterator[str]:
    for number, step in enumerate((outcome.get("considered") or {}).get("steps") or (), 1):
        cap = (step.get("budget") or {}).get("max_thinking_tokens")
        within = f", at most {cap} thinking tokens" if cap is not None else ""
        yield (
            f"  step {number}: {step['kind']} {_number(len(step['chains']), 'chain')}{within}; "
            f"{_number(step['votes'], 'vote')} and {step['tokens']} tokens so far"
        )


def _cost(outcome: StoreRecord) -> Iterator[str]:
    tokens = outcome["tokens"]
    kinds = ", ".join(
        f"{count} {kind}" for kind, count in tokens.items() if kind != "total" and count
    )
    yield f"cost: {tokens['total']} tokens ({kinds}), {outcome['seconds']:.2f} s"
    for sample in outcome.get("samples") or ():
        yield (
            f"  chain {sample['chain']}: {sample['thinking_tokens']} thinking and "
            f"{sample['answer_tokens']} answer tokens, "
            f"{_number(sample['extensions'], 'extension')}, answer {_brief(sample['answer'])}, "
            f"ended: {sample['stop_cause']}"
        )


def _cheaper(outcome: StoreRecord, curve: StoreRecord | None) -> Iterator[str]:
    yield "cheaper:"
    then = cheaper_then(outcome)
    for way in then:
        yield f"  offered at the decision: {_told(way)}"
    now = cheaper_now(outcome, curve) if curve else []
    for way in now[:3]:
        yield f"  by the curves of the newest snapshot: {_told(way)}"
    if not then and not now:
        why = "the store has no snapshot of this class" if curve is None else "none is as accurate"
        yield f"  nothing that is known: {why}"


def _told(way: CheaperWay) -> str:
    return f"{way.name}: {way.accuracy:.1%} for {way.tokens:.0f} tokens"


def _number(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _brief(text: Any) -> str:
    if text is None:
        return "none"
    line = " ".join(str(text).split())
    return line if len(line) <= 80 else line[:77] + "..."
