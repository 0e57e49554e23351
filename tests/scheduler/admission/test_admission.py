"""Who runs, who waits and who comes back later, on virtual time."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.base import Limits
from scheduler.admission.access import CALLER, Caller
from scheduler.admission.admission import Admission, Ticket
from scheduler.admission.limits import KeyLimits, LimitsConfig
from scheduler.admission.queue import TIERS, WEIGHTS, FairQueue
from scheduler.admission.rate_limit import MINUTE, Quota, RateWindow
from scheduler.errors import DeadlineExceeded, Draining, RateLimited, RequestError
from scheduler.solving.outcome import Outcome
from scheduler.solving.token_limits import worst_query
from tests.scheduler.simulation import make_controller, make_query
from workers.simulated.clock import run_virtual
from workers.simulated.engine import SimulatedEngine

ALICE, BOB = Caller("alice"), Caller("bob")


async def work(
    admission: Admission,
    caller: Caller = ALICE,
    *,
    takes: float = 1.0,
    spent: int = 0,
    log: list[str] | None = None,
    **asked: Any,
) -> Ticket:
    async with admission.admitted(caller, **{"worst": 0} | asked) as ticket:
        if log is not None:
            log.append(caller.name)
        await asyncio.sleep(takes)
        ticket.spent = spent
        return ticket


def limited(**limits: Any) -> Admission:
    return Admission(LimitsConfig(**limits), rng=random.Random(0))


async def all_of(*jobs: Coroutine[Any, Any, Ticket]) -> list[Ticket | BaseException]:
    return await asyncio.gather(*jobs, return_exceptions=True)


def code_of(result: object) -> str:
    return result.code if isinstance(result, RequestError) else "ok"


async def test_so_many_run_so_many_wait_and_the_rest_is_told_when_to_come_back() -> None:
    admission = limited(max_running=2, max_queue=3)
    results = await all_of(*(work(admission) for _ in range(10)))
    assert [code_of(result) for result in results] == ["ok"] * 5 + ["queue_full"] * 5
    waits = [result.waited for result in results if isinstance(result, Ticket)]
    assert waits == [0, 0, 1, 1, 2]
    for error in results[5:]:
        assert isinstance(error, RateLimited) and error.status == 429
        assert 1 <= int(error.headers["Retry-After"]) <= 90
    assert (admission.running, admission.waiting) == (0, 0)
    assert admission.refused == {"queue_full": 5}


async def test_those_that_are_refused_together_come_back_apart() -> None:
    admission = limited(max_running=1, max_queue=20, queue_seconds=1000)
    results = await all_of(*(work(admission, takes=10) for _ in range(200)))
    later = [int(e.headers["Retry-After"]) for e in results if isinstance(e, RateLimited)]
    assert len(later) == 179
    assert len(set(later)) > 5


async def test_a_wait_ends_with_patience_and_flex_has_more_of_it() -> None:
    admission = limited(max_running=1, queue_seconds=5, flex_queue_seconds=50)
    running = asyncio.create_task(work(admission, takes=20))
    await asyncio.sleep(0)
    began = asyncio.get_running_loop().time()
    with pytest.raises(RateLimited, match="no room"):
        await work(admission)
    assert asyncio.get_running_loop().time() - began == 5
    flex = await work(admission, priority=1)
    assert flex.waited == 15
    await running


async def test_a_deadline_that_comes_in_the_queue_is_a_deadline() -> None:
    admission = limited(max_running=1)
    running = asyncio.create_task(work(admission, takes=20))
    await asyncio.sleep(0)
    with pytest.raises(DeadlineExceeded):
        await work(admission, seconds=1.5)
    assert asyncio.get_running_loop().time() == 1.5
    await running


def test_what_is_left_of_a_deadline_is_what_the_wait_has_left() -> None:
    asked = Limits(max_total_tokens=900, deadline_seconds=10, value=2)
    assert Ticket(None, waited=4).rest(asked, 10) == Limits(900, 6, value=2)
    assert Ticket(500).rest(asked, 10) == Limits(500, 10, value=2)
    assert Ticket(None, waited=10).rest(asked, 10).deadline_seconds == 1e-3
    assert Ticket(None).rest(Limits(), None) == Limits()


async def test_callers_take_turns_however_many_each_sends() -> None:
    admission, log = limited(max_running=1), list[str]()
    await all_of(
        *(work(admission, ALICE, log=log) for _ in range(6)),
        *(work(admission, BOB, log=log) for _ in range(3)),
    )
    assert log == ["alice", "alice", "bob", "alice", "bob", "alice", "bob", "alice", "alice"]


async def test_who_waits_most_gives_way_when_the_line_is_full() -> None:
    admission = limited(max_running=1, max_queue=4)
    results = await all_of(
        *(work(admission, ALICE) for _ in range(5)), *(work(admission, BOB) for _ in range(3))
    )
    # Alice runs one; of the four places two are hers in the end, and two are Bob's.
    codes = [code_of(result) for result in results]
    assert codes == ["ok"] * 3 + ["queue_full"] * 2 + ["ok"] * 2 + ["queue_full"]


async def test_flex_gives_way_to_the_other_tiers_and_they_do_not_to_it() -> None:
    admission = limited(max_running=1, max_queue=1)
    results = await all_of(
        *(work(admission, priority=priority) for priority in (0, 1, 0, 1, -1, 0))
    )
    codes = [code_of(result) for result in results]
    assert codes == ["ok", "queue_full", "queue_full", "queue_full", "ok", "queue_full"]


async def test_a_caller_that_leaves_the_line_leaves_no_place_taken() -> None:
    admission = limited(max_running=1, max_queue=2)
    running = asyncio.create_task(work(admission, takes=5))
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(work(admission)) for _ in range(2)]
    await asyncio.sleep(1)
    assert admission.waiting == 2
    waiting[0].cancel()
    await asyncio.sleep(0)
    assert admission.waiting == 1
    running.cancel()
    waiting[1].cancel()  # in the moment in which its turn comes
    await asyncio.gather(running, *waiting, return_exceptions=True)
    assert (admission.running, admission.waiting) == (0, 0)


async def test_draining_refuses_what_is_new_and_waits_for_the_rest() -> None:
    admission = limited(max_running=1)
    before = [asyncio.create_task(work(admission, takes=3)) for _ in range(2)]
    await asyncio.sleep(0)
    draining = asyncio.create_task(admission.drain(10))
    await asyncio.sleep(0)
    with pytest.raises(Draining) as refused:
        await work(admission)
    assert (refused.value.status, refused.value.code) == (503, "draining")
    assert refused.value.headers["Retry-After"] == "5"
    assert await draining
    assert asyncio.get_running_loop().time() == 6
    assert [task.result().waited for task in before] == [0, 3]


async def test_draining_does_not_wait_for_ever_nor_for_nothing() -> None:
    assert await Admission().drain(10)
    admission = limited()
    running = asyncio.create_task(work(admission, takes=30))
    await asyncio.sleep(0)
    assert not await admission.drain(10)
    assert asyncio.get_running_loop().time() == 10
    await running


async def test_a_query_reserves_its_worst_case_and_gets_back_what_it_did_not_take() -> None:
    caller = Caller("alice", limits=KeyLimits(tokens_per_minute=1000))
    admission = limited()
    ticket = await work(admission, caller, worst=5000, spent=40)
    assert ticket.tokens == 250  # a quarter of what the key may take
    assert admission.headers(caller)["x-ratelimit-remaining-tokens"] == "960"
    assert (await work(admission, caller, worst=5000, stated=900, spent=900)).tokens == 900
    with pytest.raises(RateLimited) as refused:
        await work(admission, caller, worst=61)
    assert refused.value.code == "rate_limit_exceeded"
    assert 58 <= int(refused.value.headers["Retry-After"]) <= 90
    await asyncio.sleep(60)
    assert (await work(admission, caller, worst=61)).tokens == 61


async def test_a_key_without_limits_may_take_everything() -> None:
    assert (await work(Admission(), worst=5000, stated=7)).tokens is None
    assert Admission().headers(ALICE) == {}


async def test_every_limit_has_its_error() -> None:
    for limits, jobs, code in (
        (KeyLimits(requests_per_minute=2), 2, "rate_limit_exceeded"),
        (KeyLimits(tokens_per_day=200), 4, "insufficient_quota"),
        (KeyLimits(reserved_tokens=200), 4, "rate_limit_exceeded"),
    ):
        caller, admission = Caller("alice", limits=limits), limited()
        ask = [work(admission, caller, worst=50, spent=50) for _ in range(jobs + 1)]
        results = await all_of(*ask)
        assert [code_of(result) for result in results] == ["ok"] * jobs + [code]
        assert admission.refused == {code: 1}
        assert (await all_of(work(admission, BOB, worst=50)))[0] == Ticket(None)


def test_controllers_share_a_keys_quota() -> None:
    assert KeyLimits(10, 5, None, 1).part(2) == KeyLimits(5, 3, None, 1)
    assert KeyLimits(10).part(1) == KeyLimits(10)


amounts = st.lists(st.tuples(st.floats(0, 40), st.integers(0, 60)), max_size=60)


@given(amounts, st.integers(1, 100))
def test_no_moving_minute_ever_has_more_than_the_limit(
    asked: list[tuple[float, int]], most: int
) -> None:
    window, now, taken = RateWindow(MINUTE), 0.0, list[tuple[float, int]]()
    for pause, amount in asked:
        now += pause
        if window.wait(amount, most, now) == 0:
            window.take(amount, now)
            taken.append((now, amount))
        for end, _ in taken:
            assert sum(n for at, n in taken if end - MINUTE < at <= end) <= most


@given(amounts, st.integers(60, 100))
def test_after_the_wait_that_is_told_there_is_room(
    asked: list[tuple[float, int]], most: int
) -> None:
    window, now = RateWindow(MINUTE), 0.0
    for pause, amount in asked:
        now += pause
        wait = window.wait(amount, most, now)
        assert 0 <= wait <= MINUTE + 1e-6
        now += wait + (1e-6 if wait else 0)
        assert window.wait(amount, most, now) == 0
        window.take(amount, now)


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 1), st.floats(0, 90)), max_size=40))
def test_a_quota_forgets_nothing_and_keeps_nothing(jobs: list[tuple[int, float, float]]) -> None:
    """Whatever ends when: nothing stays reserved, and what counts is what was spent."""
    quota, now = Quota(KeyLimits(10**6, 10**6, 10**6, 10**6)), 0.0
    under_way = []
    for tokens, part, pause in jobs:
        under_way.append((quota.reserve(tokens, now), int(part * tokens)))
        now += pause
        if pause > 45:
            quota.settle(*under_way.pop(0), now)
    for reservation, spent in under_way:
        quota.settle(reservation, spent, now)
    assert quota.reserved == 0
    assert quota.day.total == sum(int(part * tokens) for tokens, part, _ in jobs)
    assert quota.blocked(10**6, now + 2 * 86_400) is None
    assert quota.day.total == quota.minute.total == quota.requests.total == 0


migrations = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from("abc"), st.sampled_from(TIERS)),
        st.tuples(st.just("pop"), st.just(""), st.just("")),
        st.tuples(st.just("leave"), st.just(""), st.just("")),
    ),
    max_size=80,
)


@given(migrations)
def test_a_line_loses_nobody_and_doubles_nobody(migrations: list[tuple[str, str, str]]) -> None:
    line, inside, count = FairQueue[int](), dict[int, tuple[str, str]](), 0
    for move, caller, tier in migrations:
        if move == "add":
            line.add(count, caller=caller, tier=tier)
            inside[count] = (caller, tier)
            count += 1
        elif inside and move == "pop":
            first = line.pop()
            mine = inside.pop(first)
            assert not any(other < first for other, place in inside.items() if place == mine)
        elif inside:
            gone, place = inside.popitem()
            line.remove(gone, caller=place[0], tier=place[1])
        assert line.waiting == len(inside)
    assert sorted(line.pop() for _ in range(line.waiting)) == sorted(inside)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(TIERS)), max_size=30))
def test_nobody_waits_for_ever_behind_a_flood(others: list[tuple[str, str]]) -> None:
    """However the flood goes on, the last tier's first has its turn within a round of all tiers."""
    line = FairQueue[str]()
    for caller, tier in others:
        line.add("other", caller=caller, tier=tier)
    line.add("patient", caller="patient", tier="flex")
    ahead = {caller for caller, tier in others if tier == "flex"}
    for _ in range(1, (len(ahead) + 2) * sum(WEIGHTS.values())):
        for tier in ("priority", "default"):
            line.add("other", caller="flood", tier=tier)
        if line.pop() == "patient":
            break
    else:
        raise AssertionError("still waiting")


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from((-1, 0, 1)),
            st.floats(0, 5),
            st.floats(0.01, 8),
            st.one_of(st.none(), st.floats(0, 6)),
        ),
        max_size=30,
    ),
    st.integers(1, 4),
    st.integers(0, 5),
)
def test_never_above_its_limits_and_nothing_leaks(
    jobs: list[tuple[str, int, float, float, float | None]], running: int, queue: int
) -> None:
    """Arrivals, ends, cancellations and patience in any order: everybody ends exactly once."""

    async def main() -> None:
        limits = KeyLimits(reserved_tokens=100)
        admission = limited(max_running=running, max_queue=queue, queue_seconds=3)
        inside = 0

        async def job(name: str, priority: int, starts: float, takes: float) -> str:
            nonlocal inside
            await asyncio.sleep(starts)
            caller = Caller(name, limits=limits)
            try:
                async with admission.admitted(caller, worst=25, priority=priority):
                    inside += 1
                    assert inside <= admission.running <= running
                    assert admission.waiting <= queue
                    try:
                        await asyncio.sleep(takes)
                    finally:
                        inside -= 1
            except RateLimited as error:
                return error.code
            return "ok"

        async def cut(task: asyncio.Task[str], after: float) -> None:
            await asyncio.sleep(after)
            task.cancel()

        tasks, cuts = [], []
        for name, priority, starts, takes, after in jobs:
            tasks.append(asyncio.create_task(job(name, priority, starts, takes)))
            if after is not None:
                cuts.append(asyncio.create_task(cut(tasks[-1], after)))
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*cuts)
        for end in ended:
            assert isinstance(end, asyncio.CancelledError) or end in (
                "ok", "queue_full", "rate_limit_exceeded",
            )  # fmt: skip
        assert (inside, admission.running, admission.waiting) == (0, 0, 0)
        assert all(quota.reserved == 0 for quota in admission.quotas.values())
        assert await admission.drain(0.1)

    run_virtual(main())


async def test_of_a_thousand_requests_at_once_what_fits_is_answered() -> None:
    engine = SimulatedEngine(slots=16)
    controller = await make_controller(engine)
    controller.admission = Admission(LimitsConfig(max_running=32, max_queue=100), slots=16)
    queries = [make_query(f"medium question {n}", id=str(n)) for n in range(1000)]
    results = await asyncio.gather(
        *(controller.answer(query) for query in queries), return_exceptions=True
    )
    codes = [code_of(result) for result in results]
    assert (codes.count("ok"), codes.count("queue_full")) == (132, 868)
    assert (controller.admission.running, controller.ledger.reserved) == (0, 0)


def test_load_shrinks_what_is_spent_before_anybody_is_refused() -> None:
    async def main(at_once: int) -> tuple[float, float]:
        controller = await make_controller(SimulatedEngine(slots=16), policy="priced")
        controller.pricing.load_weight = 0.5
        controller.admission = Admission(LimitsConfig(max_running=16), slots=16)
        for n in range(60):
            await controller.answer(make_query(f"medium question {n}", id=f"warm {n}"))
        gate = asyncio.Semaphore(at_once)

        async def ask(n: int) -> Outcome:
            async with gate:
                return await controller.answer(make_query(f"medium question {n}", id=str(n)))

        outcomes = await asyncio.gather(*map(ask, range(48)))
        total = sum(outcome.tokens.total for outcome in outcomes)
        return sum(outcome.price for outcome in outcomes) / 48, total / 48

    (price, tokens), (crowded_price, crowded_tokens) = run_virtual(main(1)), run_virtual(main(48))
    assert crowded_price > 3 * price
    assert crowded_tokens < 0.9 * tokens


async def test_the_keys_name_is_the_tenant_and_its_salt_goes_to_the_engine() -> None:
    controller = await make_controller()
    CALLER.set(Caller("alice", cache_salt="its own"))
    outcome = await controller.answer(make_query(cache_salt="from a body"), tenant="mallory")
    assert outcome.query.sampling.cache_salt == "its own"
    assert set(controller.pricing.shares._recent) == {"alice"}


@pytest.mark.parametrize("policy", ["fixed", "majority", "adaptive_consistency", "priced"])
async def test_no_query_takes_more_than_was_reserved_for_it(policy: str) -> None:
    controller = await make_controller(policy=policy)
    worst = worst_query(controller.policy, Limits(), controller.info.max_model_len)
    CALLER.set(Caller("alice", limits=KeyLimits(tokens_per_minute=4000)))
    controller.admission = limited()
    for n in range(6):
        try:
            outcome = await controller.answer(make_query(f"hard question {n}", id=str(n)))
        except RateLimited:
            await asyncio.sleep(MINUTE)
            continue
        assert 0 < outcome.tokens.total <= min(1000, worst)
    controller.admission, spent = Admission(), controller.ledger.spent
    CALLER.set(Caller())
    free = await controller.answer(make_query("hard question"))
    assert free.tokens.total <= worst
    assert controller.ledger.spent == spent + free.tokens.total


@pytest.mark.parametrize("asked", [None, 1000.0])
async def test_a_server_has_a_deadline_of_its_own(asked: float | None) -> None:
    controller = await make_controller()
    controller.admission = limited(max_seconds=1e-3)
    with pytest.raises(DeadlineExceeded) as late:
        await controller.answer(make_query(limits=Limits(deadline_seconds=asked)))
    assert (late.value.status, late.value.headers) == (504, {"x-should-retry": "false"})


@pytest.mark.parametrize(
    ("settings_", "told"),
    [
        ({"max_running": 0}, "max_running"),
        ({"max_queue": -1}, "max_queue"),
        ({"queue_seconds": 0}, "queue_seconds"),
        ({"engine_seconds": 0}, "engine_seconds"),
        ({"max_seconds": float("nan")}, "max_seconds"),
        ({"upload_seconds": float("inf")}, "upload_seconds"),
        ({"body_bytes": 0}, "body_bytes"),
        ({"body_bytes": 1 << 30}, "held_bytes"),
    ],
)
def test_a_limit_that_is_none_is_refused(settings_: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        LimitsConfig(**settings_)
