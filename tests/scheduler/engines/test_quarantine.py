"""Questions that kill engines are put away; those who were only near them are not."""

import asyncio
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from policies.plan import Budget
from scheduler.engines.quarantine import PROBATION_TURNS, Probation, Quarantine, fingerprint
from workers.engine import SampleRequest
from workers.simulated.clock import run_virtual

ASKED = SampleRequest("q", (("user", "what?"),), (0,), Budget(10))


def test_a_question_is_known_again_whoever_asks_it_and_however_often() -> None:
    again = replace(ASKED, query="other", chains=(3, 4), budget=Budget(99), stream=3)
    assert fingerprint(again) == fingerprint(ASKED)
    for other in (replace(ASKED, messages=(("user", "who?"),)), replace(ASKED, suffix="!")):
        assert fingerprint(other) != fingerprint(ASKED)


def test_two_deaths_alone_put_a_question_away() -> None:
    quarantine = Quarantine()
    quarantine.record_failure({"poison"}, alone=True)
    assert not quarantine.blocks("poison")
    quarantine.record_failure({"poison"}, alone=True)
    assert quarantine.blocks("poison")
    quarantine.record_success("poison")
    assert quarantine.blocks("poison"), "what is put away stays there"


def test_no_number_of_deaths_in_company_puts_a_question_away() -> None:
    quarantine = Quarantine()
    for _ in range(9):
        quarantine.record_failure({"one", "other"}, alone=False)
    assert not quarantine.blocks("one")
    quarantine.record_failure({"one"}, alone=True)
    assert quarantine.blocks("one")
    assert not quarantine.blocks("other")


def test_what_went_on_in_peace_starts_afresh() -> None:
    quarantine = Quarantine()
    quarantine.record_failure({"q"}, alone=True)
    quarantine.record_success("q")
    quarantine.record_failure({"q"}, alone=True)
    assert not quarantine.blocks("q")


def test_who_was_cleared_before_has_to_go_on_for_longer() -> None:
    quarantine = Quarantine()
    assert quarantine.backoff_factor("q") == 1
    quarantine.record_failure({"q"}, alone=True)
    doubts = []
    for _ in range(6):
        quarantine.record_success("q")
        doubts.append(quarantine.backoff_factor("q"))
    assert doubts == [2, 4, 8, 16, 16, 16]
    assert (quarantine.deaths("q"), quarantine.backoff_factor("other")) == (0, 1)


def test_what_one_has_put_away_others_put_away_and_not_for_longer() -> None:
    now = 0.0
    here, there = (Quarantine(seconds=600.0, clock=lambda: now) for _ in range(2))
    for _ in range(2):
        here.record_failure({"poison"}, alone=True)
    here.record_failure({"suspect"}, alone=True)
    assert here.blocked() == {"poison": 600.0}
    now = 500.0
    there.block(here.blocked())
    assert there.blocks("poison") and not there.deaths("suspect")
    now = 600.0
    for _ in range(3):
        here.block(there.blocked())
        there.block(here.blocked())
    assert not here.blocks("poison") and not there.blocks("poison")


def test_a_question_comes_free_after_a_while() -> None:
    now = 0.0
    quarantine = Quarantine(seconds=600.0, clock=lambda: now)
    for _ in range(2):
        quarantine.record_failure({"q"}, alone=True)
    now = 599.0
    assert quarantine.blocks("q")
    now = 600.0
    assert not quarantine.blocks("q")


def test_only_the_latest_questions_are_kept() -> None:
    quarantine = Quarantine(most=3)
    for number in range(5):
        quarantine.record_failure({str(number)}, alone=True)
    assert [quarantine.deaths(str(number)) for number in range(5)] == [0, 0, 1, 1, 1]


def test_many_cleared_questions_free_no_blocked_one() -> None:
    now = 0.0
    quarantine = Quarantine(most=3, seconds=600.0, clock=lambda: now)
    for _ in range(2):
        quarantine.record_failure({"poison"}, alone=True)
    for number in range(9):
        quarantine.record_success(f"innocent {number}")
    assert quarantine.blocks("poison")
    for number in range(3):
        quarantine.block({f"worse {number}": 600.0})
    assert not quarantine.blocks("poison") and quarantine.blocks("worse 2")
    now = 600.0
    quarantine.record_failure({"suspect"}, alone=True)
    assert quarantine.deaths("suspect") == 1, "who has come free makes room"


@given(
    crowd=st.integers(1, 100),
    gone=st.sets(st.integers(0, 99), max_size=20),
    seconds=st.sampled_from([0.5, 1.0]),
)
def test_suspects_go_in_few_at_a_time_and_all_get_through(
    crowd: int, gone: set[int], seconds: float
) -> None:
    async def scenario() -> None:
        probation, clock = Probation(), asyncio.get_running_loop().time
        most = 0

        async def turn() -> None:
            nonlocal most
            await probation.enter()
            most = max(most, probation.inside)
            try:
                await asyncio.sleep(seconds)
            finally:
                probation.leave()

        turns = [asyncio.create_task(turn()) for _ in range(crowd)]
        await asyncio.sleep(seconds / 2)
        for number in gone & {*range(crowd)}:
            turns[number].cancel()
        await asyncio.gather(*turns, return_exceptions=True)
        assert probation.inside == 0
        assert most <= max(1, crowd // PROBATION_TURNS)
        assert clock() <= seconds * 2 * PROBATION_TURNS

    run_virtual(scenario())
