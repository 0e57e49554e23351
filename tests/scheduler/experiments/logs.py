"""Outcome logs of simulated servers whose policy randomises, for what is estimated from logs."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from policies.base import Decision, Draw, Message, Policy, Query, Situation, Stop
from policies.plan import Budget, Plan
from policies.price import Price
from scheduler.curves.wal import DurableCurveStore
from scheduler.solving.controller import Controller
from scheduler.solving.outcome import Outcome
from scheduler.solving.outcome_log import OutcomeLog
from scheduler.solving.pricing import Pricing
from scheduler.solving.rollout import Rollout
from workers.simulated.clock import run_virtual
from workers.simulated.engine import SimulatedEngine
from workers.simulated.law import questions

SHARES = {1: 0.2, 3: 0.3, 7: 0.5}


@dataclass(frozen=True, slots=True)
class RandomVotes(Policy):
    """One greedy chain, or some votes, each so often."""

    shares: Mapping[int, float]

    @property
    def name(self) -> str:
        return "random_votes"

    def decide(self, situation: Situation, rng: Random) -> Decision:
        if situation.tally.history:
            return Stop("plan done") if not situation.pending else Draw(1, Budget(1))
        ((votes, share),) = rng.choices([*self.shares.items()], [*self.shares.values()])
        budget = situation.budget(None)
        temperature = 0.0 if votes == 1 else None
        plan = Plan(f"votes {votes}", budget, temperature, propensity=share)
        return Draw(votes, budget, temperature, plan)


def answered(
    policy: Policy,
    *,
    count: int,
    seed: int = 0,
    log: Path | None = None,
    candidate: Policy | None = None,
    share: float = 0.5,
    split: str = "",
) -> list[Outcome]:
    """A simulated server's answers to so many questions of mixed classes, all with references."""

    async def main() -> list[Outcome]:
        engine = SimulatedEngine()
        outcomes = OutcomeLog(log) if log else None
        controller = Controller(
            engine=engine,
            info=await engine.info(),
            policy=policy,
            curves=DurableCurveStore(),
            pricing=Pricing(Price(3e-4)),
            outcomes=outcomes,
            seed=seed,
            rollout=Rollout(policy, candidate, share, split) if candidate else None,
        )
        asked = [
            Query(
                f"{each['id']}-{number}",
                (Message("user", each["question"]),),
                each["class"],
                reference=each["answer"],
            )
            for number, each in enumerate(questions(count, seed))
        ]
        found = []
        for start in range(0, count, 32):
            part = asked[start : start + 32]
            found += await asyncio.gather(
                *(controller.answer(query, learn=False) for query in part)
            )
        if outcomes:
            outcomes.close()
        return found

    return run_virtual(main())


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
