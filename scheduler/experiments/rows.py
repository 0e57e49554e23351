"""A row of the results: of an outcome, of an endpoint's reply, of a question that failed."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from scheduler.experiments.cells import ExperimentCell
from scheduler.experiments.grading import Judge
from scheduler.experiments.questions.question import Question
from scheduler.experiments.results import ResultRow
from scheduler.solving.outcome import Outcome
from workers.sample import Sample


class Asked(NamedTuple):
    """A question as one cell asks it."""

    cell: ExperimentCell
    turn: int
    question: Question
    labelled: bool


async def row_of_outcome(asked: Asked, outcome: Outcome, judge: Judge) -> ResultRow:
    """Grades the answer, and that of every chain."""
    chains: dict[int, Sample] = {}
    tokens: dict[int, int] = {}
    for record in outcome.records:
        chains[record.sample.chain] = record.sample
        tokens[record.sample.chain] = record.chain_tokens
    ordered = [chains[number] for number in sorted(chains)]
    question, used, plan = asked.question, outcome.tokens, outcome.plan
    rounds, sequential, seconds = _course(outcome)
    return _head(asked) | {
        "model": outcome.model,
        "answer": outcome.answer,
        "correct": await judge.is_right(question, outcome.answer),
        "tokens": used.total,
        "reasoning_tokens": used.reasoning,
        "final_tokens": used.answer,
        "forced_tokens": used.forced,
        "probe_tokens": used.probe,
        "discarded_tokens": used.discarded,
        "thinking_tokens": _thinking(outcome),
        "chosen_tokens": outcome.chosen.thinking_tokens if outcome.chosen else None,
        "sequential_tokens": sequential,
        "seconds": round(outcome.seconds or seconds, 4),
        "rounds": rounds,
        "chains": len(ordered),
        "extensions": max((sample.extensions for sample in ordered), default=0),
        "reward_calls": outcome.reward_calls,
        "chain_answers": [sample.answer for sample in ordered],
        "chain_correct": [await judge.is_right(question, sample.answer) for sample in ordered],
        "chain_tokens": [tokens[sample.chain] for sample in ordered],
        "plan": plan.name if plan else None,
        "propensity": plan.propensity if plan else None,
        "predicted": None if outcome.chance is None else round(outcome.chance, 6),
        "agreement": round(outcome.agreement, 6),
        "stop_reason": outcome.stop_reason,
        "price": outcome.price,
    }


async def row_of_reply(asked: Asked, reply: dict[str, Any], judge: Judge) -> ResultRow:
    """Of an endpoint, which tells nothing of single chains. Raises KeyError for a foreign one."""
    account = reply["thinkbudget"]
    spent, kinds = account["spent"], account["spent"]["by_kind"]
    return _head(asked) | {
        "model": reply["model"],
        "answer": account["answer"],
        "correct": await judge.is_right(asked.question, account["answer"]),
        "tokens": spent["tokens"],
        "reasoning_tokens": kinds["reasoning"],
        "final_tokens": kinds["answer"],
        "forced_tokens": kinds["forced"],
        "probe_tokens": kinds["probe"],
        "discarded_tokens": kinds["discarded"],
        "thinking_tokens": kinds["reasoning"] + kinds["forced"],
        "seconds": spent["seconds"],
        "chains": spent["chains"],
        "extensions": spent["extensions"],
        "reward_calls": spent["reward_calls"],
        "plan": account["plan"],
        "predicted": account["predicted_accuracy"],
        "agreement": account["agreement"],
        "stop_reason": account["stop_reason"],
        "price": account["price"],
    }


def row_of_failure(asked: Asked, error: str, *, spent: int, counts: bool) -> ResultRow:
    """`counts`: the policy has failed, so the question counts as wrong; else it is left out."""
    return _head(asked) | {"correct": False if counts else None, "tokens": spent, "error": error}


def _head(asked: Asked) -> ResultRow:
    cell, question = asked.cell, asked.question
    return {
        "engine": cell.engine,
        "questions": cell.questions,
        "policy": cell.policy,
        "seed": cell.seed,
        "turn": asked.turn,
        "id": question.id,
        "class": question.query_class,
        "reference": question.answer,
        "labelled": asked.labelled,
    }


def _thinking(outcome: Outcome) -> int:
    """Of all chains; what several branches have in common is counted once."""
    thinking = {record.sample.chain: record.sample.thinking_tokens for record in outcome.records}
    parents = {record.sample.chain: record.parent for record in outcome.records}
    shared = sum(thinking[parent] for parent in parents.values() if parent is not None)
    return sum(thinking.values()) - shared


def _course(outcome: Outcome) -> tuple[int, int, float]:
    """Rounds; and tokens and seconds of the longest chain of each, added up."""
    left: dict[int, list[Sample]] = {}
    for record in outcome.records:
        left.setdefault(record.sample.chain, []).append(record.sample)
    rounds = sequential = 0
    seconds = 0.0
    for step in outcome.considered.steps:
        came: Sequence[Sample] = [left[n].pop(0) for n in step.chains if left.get(n)]
        if step.kind in ("draw", "extend", "branch") and came:
            rounds += 1
            sequential += max(sample.generated_tokens for sample in came)
            seconds += max(sample.seconds for sample in came)
    return rounds, sequential, seconds
