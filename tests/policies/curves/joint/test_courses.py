"""One chain shows what smaller settings had given, and nothing that only some chains would show."""

import pytest

from policies.curves.joint.courses import Course, courses_of, holds
from policies.curves.joint.settings import CAPS, EXITS, WHOLE, ChainSetting, Exit
from policies.signals import Probe
from policies.tally import Vote

TRIAL, ANSWER = 10, 5
AGREE, SURE = EXITS.index(Exit(2)), EXITS.index(Exit(1, 0.9))


def probes(*answers: tuple[int, str | None, float]) -> list[Probe]:
    """Cap, answer, probability."""
    return [Probe(0, cap, answer, sure, "", TRIAL) for cap, answer, sure in answers]


def chain(setting: ChainSetting, thought: int, *answers: tuple[int, str | None, float]) -> Course:
    tried = probes(*answers)
    end = Vote(0, "end", thought + ANSWER + TRIAL * len(tried), thought)
    return Course([end], tried, setting)


def test_a_whole_chain_shows_what_every_cap_had_given() -> None:
    course = chain(ChainSetting(WHOLE), 70, (32, "a", 0.2), (45, "b", 0.3), (64, "b", 0.4))
    shown = course.outcomes()
    by_cap = {cap: shown[ChainSetting(CAPS.index(cap))] for cap in (32, 45, 64, 91)}
    assert [by_cap[cap].answer for cap in (32, 45, 64, 91)] == ["a", "b", "b", "end"]
    assert [by_cap[cap].tokens for cap in (32, 45, 64, 91)] == [37, 50, 69, 75]
    assert shown[ChainSetting(WHOLE)] == ("end", 75)
    assert ChainSetting(WHOLE + 1) not in shown


def test_an_exit_pays_for_the_trials_before_it() -> None:
    course = chain(ChainSetting(WHOLE), 70, (32, "a", 0.2), (45, "b", 0.3), (64, "b", 0.95))
    shown = course.outcomes()
    assert shown[ChainSetting(WHOLE, AGREE)] == ("b", 64 + ANSWER + 3 * TRIAL)
    assert shown[ChainSetting(WHOLE, SURE)] == ("b", 64 + ANSWER + 3 * TRIAL)
    assert shown[ChainSetting(CAPS.index(45), AGREE)] == ("b", 45 + ANSWER + 2 * TRIAL)


def test_a_chain_without_trials_shows_no_exit() -> None:
    shown = chain(ChainSetting(WHOLE), 700).outcomes()
    assert {setting.exit for setting in shown} == {0}
    assert ChainSetting(CAPS.index(64)) not in shown


def test_a_capped_run_shows_no_larger_cap_even_where_its_chain_has_ended() -> None:
    """Of longer chains nothing would be known there: only the short ones would count."""
    setting = ChainSetting(CAPS.index(128))
    shown = chain(setting, 40, (32, "a", 0.2)).outcomes()
    assert max(each.stage for each in shown) == setting.stage
    assert shown[setting] == ("end", 45)


@pytest.mark.parametrize(
    ("run", "other", "is_shown"),
    [
        (Exit(), Exit(2), True),
        (Exit(3), Exit(2), True),
        (Exit(2), Exit(3), False),
        (Exit(2), Exit(), False),
        (Exit(1, 0.99), Exit(1, 0.9), True),
        (Exit(1, 0.9), Exit(1, 0.99), False),
    ],
)
def test_a_rule_shows_only_those_that_end_no_chain_later(
    run: Exit, other: Exit, is_shown: bool
) -> None:
    assert run.shows(other) is is_shown


def test_extensions_are_shown_end_by_end() -> None:
    ends = [
        Vote(0, "a", 55, 50),
        Vote(0, "b", 100, 90, extensions=1),
        Vote(0, "b", 145, 130, extensions=2),
        Vote(0, "c", 190, 170, extensions=3, stop_cause="context"),
    ]
    (course,) = courses_of(ends, [], ChainSetting(WHOLE + 3), is_exploration=True)
    shown = course.outcomes()
    by_extensions = [shown.get(ChainSetting(WHOLE + n)) for n in range(4)]
    assert by_extensions == [("a", 55), ("b", 95), ("b", 135), None]


def test_of_several_explored_chains_the_first_alone_tells_of_extensions() -> None:
    votes = [Vote(0, "a", 55, 50), Vote(1, "b", 60, 55), Vote(0, "c", 99, 90, extensions=1)]
    first, second = courses_of(votes, [], ChainSetting(WHOLE + 1), is_exploration=True)
    assert ChainSetting(WHOLE + 1) in first.outcomes()
    assert ChainSetting(WHOLE + 1) not in second.outcomes()


def test_a_place_that_nobody_tried_answers_as_the_last_one_before() -> None:
    shown = chain(ChainSetting(WHOLE), 200, (64, "a", 0.2), (128, "b", 0.2)).outcomes()
    assert shown[ChainSetting(CAPS.index(91))].answer == "a"
    assert shown[ChainSetting(CAPS.index(45))].answer is None


def test_a_rule_holds_by_the_last_trials() -> None:
    tried = probes((32, "a", 0.2), (45, "b", 0.95), (64, "b", 0.5))
    assert holds(Exit(2), tried)
    assert not holds(Exit(3), tried)
    assert not holds(Exit(1, 0.9), tried)
    assert holds(Exit(1, 0.9), tried[:2])
    assert not holds(Exit(2), probes((32, None, 0.9), (45, None, 0.9)))
