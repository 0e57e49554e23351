"""A policy of one's own against majority voting on the simulated engine; no model is started."""

from random import Random

from policies.base import Decision, Draw, Message, Policy, Query, Situation, Stop
from policies.majority import Majority
from scheduler.client.local import local_controller
from scheduler.config import EngineConfig, ServeConfig
from workers.simulated.clock import run_virtual
from workers.simulated.law import questions


class FirstTo(Policy):
    """Draws one chain after another until an answer has three votes, at most nine chains."""

    name = "first_to"
    max_chains = 9  # tokens are reserved for so many

    def decide(self, situation: Situation, rng: Random) -> Decision:
        answers = [vote.answer for vote in situation.tally.votes]
        if len(answers) == self.max_chains or max(map(answers.count, answers), default=0) == 3:
            return Stop("settled")
        return Draw(1, situation.budget(None))  # None: think as long as the context allows


async def compare() -> None:
    async with local_controller(ServeConfig(engine=EngineConfig(kind="simulated"))) as controller:
        for policy in (FirstTo(), Majority(samples=9)):
            outcomes = []
            for q in questions(100):
                query = Query(q["id"], (Message("user", q["question"]),), reference=q["answer"])
                outcomes.append(await controller.answer(query, policy=policy))
            accuracy = sum(outcome.correct is True for outcome in outcomes) / len(outcomes)
            tokens = sum(outcome.tokens.total for outcome in outcomes) / len(outcomes)
            print(f"{policy.name}: accuracy {accuracy:.2f}, {tokens:.0f} tokens a question")


run_virtual(compare())  # simulated seconds pass at once; a real engine needs asyncio.run
