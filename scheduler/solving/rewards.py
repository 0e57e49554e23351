"""Has a verifier judge the chains of a query, so that its policy sees their rewards."""

from scheduler.solving.run import QueryRun
from workers.forcing.chain import UNANSWERED
from workers.verifier.base import Verifier


async def reward(run: QueryRun, verifier: Verifier) -> None:
    """Reward the chains that have paused or answered since the last time. Raises VerifierFailed."""
    new = [
        (place, record.sample)
        for place, record in enumerate(run.records)
        if record.rewards is None
        and (record.sample.stop_cause == "paused" or record.sample.stop_cause not in UNANSWERED)
    ]
    if not new:
        return
    question = run.query.messages[-1].content
    scores = await verifier.score(question, [sample.thinking for _, sample in new])
    run.reward_calls += len(new)
    found = {}
    for (place, sample), rewards in zip(new, scores, strict=True):
        found[sample.chain] = tuple(rewards)
        run.records[place] = run.records[place]._replace(rewards=tuple(rewards))
    run.tally = run.tally.rewarded(found)
