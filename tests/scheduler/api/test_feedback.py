"""POST /v1/feedback, after a reply of any route."""

from typing import Any

import httpx
import pytest

from policies.price import Price
from scheduler.admission.access import CALLER, Caller
from scheduler.api import feedback as route
from scheduler.api.app import IN_PROCESS
from scheduler.api.endpoint import Endpoint
from scheduler.curves.feedback import Feedback, FeedbackConfig, FeedbackResult, Label
from scheduler.curves.wal import DurableCurveStore
from scheduler.errors import RequestError
from scheduler.solving.controller import Controller
from tests.scheduler.simulation import CHAT, chat, client_of, make_controller
from workers.simulated.clock import run_virtual

PATH = "/v1/feedback"


async def asked(client: httpx.AsyncClient, **fields: Any) -> str:
    reply = await client.post(CHAT, json=chat(**fields))
    return str(reply.json()["thinkbudget"]["outcome_id"])


def accuracy(controller: Controller) -> float:
    curve = controller.curves.curve("simulated", "default")
    assert curve is not None and curve.votes is not None
    return curve.votes.accuracy[0]


@pytest.mark.parametrize(("rating", "better"), [("up", True), ("down", False)])
async def test_thumbs_move_the_accuracy_of_the_class(rating: str, better: bool) -> None:
    controller = await make_controller()
    async with client_of(controller) as client:
        ids = [await asked(client, question=f"easy question {n}") for n in range(20)]
        before = accuracy(controller)
        for outcome in ids:
            reply = await client.post(PATH, json={"outcome_id": outcome, "rating": rating})
            assert (reply.status_code, reply.json()["status"]) == (200, "learned")
        assert (accuracy(controller) > before) is better
        assert abs(accuracy(controller) - before) > 0.1
        curve = controller.curves.curve("simulated", "default")
        assert curve is not None and (curve.queries, curve.labelled) == (20, 20)


async def test_thumbs_correct_what_a_target_accuracy_is_steered_by() -> None:
    controller = await make_controller()
    controller.pricing.price = Price.for_accuracy(0.5)
    async with client_of(controller) as client:
        ids = [await asked(client, question=f"easy question {n}") for n in range(40)]
        for outcome in ids:
            await client.post(PATH, json={"outcome_id": outcome, "rating": "down"})
    before = controller.pricing.now()
    controller.pricing.settle(100, predicted=0.6)
    assert controller.pricing.now() < before


async def test_a_label_of_a_response_is_learned_too() -> None:
    async with client_of(await make_controller()) as client:
        body = {"model": "simulated", "input": "easy question"}
        told = (await client.post("/v1/responses", json=body)).json()["thinkbudget"]
        reply = await client.post(PATH, json={"outcome_id": told["outcome_id"], "reward": 0.25})
        assert reply.json() == {
            "object": "thinkbudget.feedback",
            "outcome_id": told["outcome_id"],
            "reward": 0.25,
            "status": "learned",
        }


async def test_labels_are_given_once() -> None:
    async with client_of(await make_controller()) as client:
        outcome = await asked(client)
        replies = [
            await client.post(PATH, json={"outcome_id": outcome, "reward": reward})
            for reward in (1, 1.0, 0)
        ]
        assert [reply.status_code for reply in replies] == [200, 200, 409]
        assert replies[1].json()["status"] == "repeated"
        assert replies[2].json()["error"]["code"] == "feedback_conflict"
        assert replies[2].headers["x-should-retry"] == "false"


async def test_what_was_not_to_be_learned_from_is_noted_only() -> None:
    controller = await make_controller()
    async with client_of(controller) as client:
        outcome = await asked(client, thinkbudget={"learn": False})
        reply = await client.post(PATH, json={"outcome_id": outcome, "reward": 1})
        assert (reply.status_code, reply.json()["status"]) == (200, "noted")
        assert controller.curves.curve("simulated", "default") is None


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"outcome_id": "x"}, "reward"),
        ({"outcome_id": "x", "reward": 1, "rating": "up"}, "reward"),
        ({"outcome_id": "x", "reward": True}, "reward"),
        ({"outcome_id": "x", "reward": "1"}, "reward"),
        ({"outcome_id": "x", "reward": 1.01}, "reward"),
        ({"outcome_id": "x", "reward": -0.01}, "reward"),
        ({"outcome_id": "x", "rating": "sideways"}, "rating"),
        ({"outcome_id": "", "reward": 1}, "outcome_id"),
        ({"outcome_id": 7, "reward": 1}, "outcome_id"),
        ({"reward": 1}, "outcome_id"),
        ({"outcome_id": "x", "reward": 1, "weight": 9}, "weight"),
        ({"outcome_id": "x", "reward": 1, "source": "s" * 101}, "source"),
    ],
)
def test_a_label_that_is_none_is_refused_by_its_field(body: dict[str, Any], param: str) -> None:
    async def main() -> httpx.Response:
        async with client_of(await make_controller()) as client:
            return await client.post(PATH, json=body)

    reply = run_virtual(main())
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


async def test_a_reward_that_is_no_number_never_reaches_the_curves() -> None:
    async with client_of(await make_controller()) as client:
        for value in (b"NaN", b"Infinity", b"1e400"):
            raw = b'{"outcome_id": "x", "reward": ' + value + b"}"
            assert (await client.post(PATH, content=raw)).status_code == 400


async def test_an_answer_that_nobody_gave_is_not_found() -> None:
    async with client_of(await make_controller()) as client:
        reply = await client.post(PATH, json={"outcome_id": "x", "reward": 1})
        assert reply.status_code == 404
        assert reply.json()["error"]["code"] == "outcome_not_found"


async def test_keys_label_their_own_answers_and_so_many_an_hour() -> None:
    controller = await make_controller()
    controller.curves = DurableCurveStore(feedback=Feedback(FeedbackConfig(labels_per_hour=1)))

    async def told(name: str, outcome: str) -> str:
        CALLER.set(Caller(name, "inference"))
        try:
            body = {"outcome_id": outcome, "reward": 1}
            return str((await route.take(Endpoint.of(controller, IN_PROCESS), body))["status"])
        except RequestError as error:
            return error.code

    async with client_of(controller) as client:
        ids = [await asked(client) for _ in range(2)]
    # The app has no keys: its answers are nobody's in particular.
    assert await told("mallory", ids[0]) == "outcome_not_found"
    assert await told("", ids[0]) == "learned"
    assert await told("", ids[1]) == "rate_limit_exceeded"
    CALLER.set(Caller("", "admin"))
    reply = await route.take(
        Endpoint.of(controller, IN_PROCESS), {"outcome_id": ids[1], "reward": 1}
    )
    assert reply["status"] == "learned"
    assert b'thinkbudget_feedback_total{verdict="limited"} 1.0' in controller.metrics.text()


async def test_while_the_curve_store_is_away_curves_and_labels_say_when_to_come_back() -> None:
    class Away(DurableCurveStore):
        async def export(self) -> dict[str, Any]:
            raise ConnectionError("away")

        async def label(self, label: Label) -> FeedbackResult:
            raise ConnectionError("away")

    controller = await make_controller()
    controller.curves = Away()
    async with client_of(controller) as client:
        curves = await client.get("/v1/thinkbudget/curves")
        label = await client.post(PATH, json={"outcome_id": "x", "reward": 1})
    for reply in (curves, label):
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "5")
        assert "the curve store is away" in reply.json()["error"]["message"]
