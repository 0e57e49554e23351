"""One answered query, as it is logged: what was decided, what it cost, and how it turned out."""

import gzip
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from policies.base import Query, Stop
from policies.curves.chance import chance_right
from policies.curves.observation import Observation
from policies.plan import Plan
from policies.signals import Probe
from policies.tally import Tally
from scheduler.solving.decision_inputs import DecisionInputs
from scheduler.solving.rollout import ArmOfSplit
from scheduler.solving.rounds import SampleRecord
from scheduler.solving.run import QueryRun
from scheduler.solving.token_usage import TokenUsage, count_tokens
from workers.forcing.chain import UNANSWERED
from workers.sample import Sample


@dataclass(frozen=True, slots=True)
class Outcome:
    """`correct` is None without a reference; `price` is the accuracy a token had to buy.

    `chance` is that of the answer to be right, by the class's curve and all that was seen.
    `propensity` is the probability with which the query got its plan, an A/B split included; `arm`
    is its side of that split, None outside of one.
    """

    query: Query
    model: str
    policy: str
    plan: Plan | None
    stop_reason: str
    answer: str | None
    chosen: Sample | None
    agreement: float
    chance: float | None
    prompt_tokens: int
    tokens: TokenUsage
    seconds: float
    price: float
    correct: bool | None
    records: tuple[SampleRecord, ...]
    considered: DecisionInputs
    #: Thinkings that a verifier has judged.
    reward_calls: int = 0
    propensity: float = 1.0
    arm: ArmOfSplit | None = None

    @property
    def best_first(self) -> tuple[Sample, ...]:
        """Every chain that answered: the chosen one, then by how many others gave its answer."""
        chains = {r.sample.chain: r.sample for r in self.records}
        answered = [s for s in chains.values() if s.stop_cause not in UNANSWERED]
        votes = Counter(sample.answer for sample in answered)

        def rank(sample: Sample) -> tuple[bool, int, int]:
            is_chosen = self.chosen is not None and sample.chain == self.chosen.chain
            return not is_chosen, -votes[sample.answer], sample.thinking_tokens

        return tuple(sorted(answered, key=rank)) if self.chosen else ()

    @property
    def retries(self) -> int:
        """How often a chain had to be taken on by another engine."""
        return sum(record.sample.migrations for record in self.records)

    @property
    def violations(self) -> tuple[str, ...]:
        return tuple(v for record in self.records for v in record.sample.violations)

    def as_dict(self) -> dict[str, Any]:
        """One line of the outcome log."""
        plan = None
        if self.plan:
            forecast = self.plan.forecast
            plan = asdict(self.plan) | {"forecast": forecast._asdict() if forecast else None}
        return {
            "id": self.query.id,
            "question": self.query.messages[-1].content,
            "class": self.query.query_class,
            "reference": self.query.reference,
            "model": self.model,
            "policy": self.policy,
            "plan": plan,
            "propensity": self.propensity,
            "arm": self.arm._asdict() if self.arm else None,
            "session": self.query.session or None,
            "stop_reason": self.stop_reason,
            "answer": self.answer,
            "correct": self.correct,
            "agreement": self.agreement,
            "chance": self.chance,
            "tokens": self.tokens._asdict() | {"total": self.tokens.total},
            "reward_calls": self.reward_calls,
            "seconds": round(self.seconds, 4),
            "price": self.price,
            "considered": self.considered.as_dict(),
            "violations": list(self.violations),
            "samples": [_line(record) for record in self.records],
        }


def build_outcome(run: QueryRun, stop: Stop, *, model: str, policy: str) -> Outcome:
    """What a finished run comes to: the leader's answer, in the words of its cheapest chain.

    Where nothing votes, it is the surest chain.
    """
    tally = run.tally if stop.weights is None else run.tally.weighed(dict(stop.weights))
    leader, voting = tally.leader, {vote.chain for vote in tally.voting}
    behind = [
        sample
        for sample in run.samples.values()
        if sample.answer == leader and (leader is None or sample.chain in voting)
    ]
    chosen = min(behind, key=_surest if leader is None else _cheapest, default=None)
    return Outcome(
        query=run.query,
        model=model,
        policy=policy,
        plan=run.plan,
        stop_reason=stop.reason,
        answer=leader,
        chosen=chosen,
        agreement=tally.agreement,
        chance=_chance(run, tally),
        prompt_tokens=run.prompt_tokens,
        tokens=count_tokens(run.records),
        seconds=run.seconds,
        price=run.price,
        correct=None
        if run.answers.right is None
        else leader is not None and run.answers.right[leader],
        records=tuple(run.records),
        considered=DecisionInputs.of(run),
        reward_calls=run.reward_calls,
        propensity=run.plan.propensity if run.plan else 1.0,
    )


def _cheapest(sample: Sample) -> int:
    return sample.thinking_tokens


def _surest(sample: Sample) -> tuple[float, int]:
    confidence = sample.confidence
    measured = [part for part in confidence or () if part is not None]
    return -(measured[0] if measured else -math.inf), sample.thinking_tokens


def observation(run: QueryRun, *, chance: float | None = None) -> Observation | None:
    """What the curve may learn of a run; None when no chain finished.

    Nor where chains were steered: how long they thought, and how well, is not their class's doing.
    Chains of `priced` teach whatever was done to them: their trial answers show it.
    `chance` is what was foretold of the answer (`Outcome.chance`).
    """
    if run.plan is None or not run.tally.history:
        return None
    is_priced = run.plan.setting is not None
    if run.steered and not is_priced:
        return None
    temperature = run.records[0].temperature
    return Observation(
        run.query.query_class,
        run.tally.history,
        run.plan.budget,
        temperature,
        run.plan,
        dict(run.answers.right or {}),
        _trials(run.records) if is_priced else (),
        chance,
        run.query.difficulty,
    )


def _trials(records: Sequence[SampleRecord]) -> tuple[Probe, ...]:
    """All trial answers; an extended chain tells those of its first thinking once."""
    return tuple(
        probe._replace(text="")
        for record in records
        if not record.sample.extensions
        for probe in record.probes or ()
    )


def _chance(run: QueryRun, tally: Tally) -> float | None:
    """None of chains that another policy than `priced` has steered."""
    if run.steered and (run.plan is None or run.plan.setting is None):
        return None
    return chance_right(run.curve, run.plan, tally)


def read_outcomes(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of an outcome log, perhaps packed by gzip; a torn last line is skipped."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):
                yield json.loads(line)


def _line(record: SampleRecord) -> dict[str, Any]:
    sample, confidence, probes = record.sample, record.sample.confidence, record.probes
    return {
        "chain": sample.chain,
        "temperature": record.temperature,
        "extensions": sample.extensions,
        "answer": sample.answer,
        "stop_cause": sample.stop_cause,
        "thinking_tokens": sample.thinking_tokens,
        "answer_tokens": sample.answer_tokens,
        "tokens": sample.tokens,
        "chain_tokens": record.chain_tokens,
        "seconds": round(sample.seconds, 4),
        "replica": sample.replica,
        "confidence": confidence._asdict() if confidence else None,
        "probes": None if probes is None else [_trial(probe) for probe in probes],
        "probe_tokens": sample.probe_tokens,
        "parent": record.parent,
        "rewards": None if record.rewards is None else [round(r, 4) for r in record.rewards],
        "violations": list(sample.violations),
    }


def _trial(probe: Probe) -> dict[str, Any]:
    """The text stays out: it is the answer and a few words around it."""
    return {
        "thinking_tokens": probe.thinking_tokens,
        "answer": probe.answer,
        "probability": round(probe.probability, 6),
        "tokens": probe.tokens,
    }
