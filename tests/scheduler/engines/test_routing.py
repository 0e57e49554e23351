"""Where calls go: to the replica that owes the fewest tokens, home while there is room."""

import random

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from policies.plan import Budget
from scheduler.engines.routing import (
    Backlog,
    PendingWork,
    RoutingConstraints,
    RoutingTable,
    expected,
)
from workers.completion import CompletionRequest
from workers.engine import SampleRequest

NAMES = ("a", "b", "c")


def routes(slots: int = 8, now: list[float] | None = None) -> RoutingTable:
    at = now or [0.0]
    return RoutingTable(slots, clock=lambda: at[0], rng=random.Random(1))


def request(chains: int, tokens: int | None = None) -> SampleRequest:
    budget = Budget(100, answer_tokens=20)
    return SampleRequest(
        "q", (("user", "?"),), tuple(range(chains)), budget, expected_tokens=tokens
    )


def test_a_call_goes_where_the_fewest_tokens_are_owed_not_the_fewest_calls() -> None:
    known = routes()
    known.send("long", "a", PendingWork(5000, 1))
    for number in range(4):
        known.send(f"short {number}", "b", PendingWork(100, 1))
    assert known.rank(("a", "b"), RoutingConstraints(PendingWork(100, 1))) == ["b", "a"]


def test_a_query_stays_on_its_replica_while_it_fits_and_then_spills() -> None:
    known = routes(slots=8)
    known.send("earlier", "a", PendingWork(9000, 5))
    assert known.rank(NAMES, RoutingConstraints(PendingWork(100, 3), affinity="a"))[0] == "a"
    assert known.rank(NAMES, RoutingConstraints(PendingWork(100, 4), affinity="a"))[0] != "a"


def test_what_other_gateways_sent_counts_by_the_replicas_own_report() -> None:
    known = routes()
    known.send("mine", "a", PendingWork(300, 1))
    known.report("a", PendingWork(1000, 4), version=7)
    assert known.owed("a") == PendingWork(1000, 4)
    known.end("mine")
    assert known.owed("a") == PendingWork(700, 3)
    known.report("a", PendingWork(1000, 4), version=7)  # the same report once more is no news
    assert known.owed("a") == PendingWork(700, 3)
    known.report("a", PendingWork(0, 0), version=9)
    assert known.owed("a") == PendingWork()


def test_who_does_not_take_a_call_is_the_last_choice_until_it_does() -> None:
    now = [0.0]
    known = routes(now=now)
    known.send("call", "a", PendingWork(1, 1))
    known.send("other", "b", PendingWork(9999, 1))
    known.take("other")
    now[0] = 1.9
    assert known.rank(("a", "b"), RoutingConstraints(affinity="a"))[0] == "a"
    now[0] = 2.1
    assert known.rank(("a", "b"), RoutingConstraints(affinity="a")) == ["b", "a"]
    known.take("call")
    assert known.rank(("a", "b"), RoutingConstraints(affinity="a"))[0] == "a"


def test_replicas_that_are_gone_are_forgotten() -> None:
    known = routes()
    known.report("a", PendingWork(10, 1), version=1)
    known.send("call", "a", PendingWork(10, 1))
    known.end("call")
    known.keep({"b"})
    assert known.owed("a") == PendingWork()
    known.report("a", PendingWork(20, 2), version=1)  # a new one of that name counts from one
    assert known.owed("a") == PendingWork(20, 2)


def test_calls_of_all_sizes_are_spread_evenly() -> None:
    known, sizes = routes(slots=10**6), random.Random(5)
    for number in range(300):
        owed = PendingWork(sizes.randrange(1, 2000), 1)
        known.send(str(number), known.rank(NAMES, RoutingConstraints(owed))[0], owed)
    tokens = [known.owed(name).tokens for name in NAMES]
    assert max(tokens) - min(tokens) < 2000


@given(
    st.lists(st.sampled_from(NAMES), unique=True, min_size=1),
    st.sets(st.sampled_from(NAMES)),
    st.none() | st.sampled_from(NAMES),
    st.dictionaries(st.sampled_from(NAMES), st.integers(0, 10**6)),
)
def test_avoided_replicas_are_chosen_only_when_there_is_no_other(
    there: list[str], avoid: set[str], affinity: str | None, tokens: dict[str, int]
) -> None:
    known = routes()
    for name, count in tokens.items():
        known.send(name, name, PendingWork(count, 1))
    ranked = known.rank(there, RoutingConstraints(PendingWork(1, 1), affinity, avoid))
    assert set(ranked) == (set(there) - avoid or set(there))
    assert len(ranked) == len(set(ranked))


class Ledgers(RuleBasedStateMachine):
    """Whatever happens to calls, what a gateway counts is the sum of the calls that run."""

    def __init__(self) -> None:
        super().__init__()
        self.known, self.running = routes(), dict[str, tuple[str, PendingWork]]()

    @rule(
        call=st.sampled_from("uvwxyz"),
        name=st.sampled_from(NAMES),
        tokens=st.integers(0, 1000),
        chains=st.integers(0, 5),
    )
    def send(self, call: str, name: str, tokens: int, chains: int) -> None:
        self.known.send(call, name, PendingWork(tokens, chains))
        self.running[call] = name, PendingWork(tokens, chains)

    @rule(call=st.sampled_from("uvwxyz"))
    def end(self, call: str) -> None:
        self.known.end(call)
        self.running.pop(call, None)

    @precondition(lambda self: self.running)
    @rule(names=st.sets(st.sampled_from(NAMES)))
    def leave(self, names: set[str]) -> None:
        self.known.keep(names)

    @invariant()
    def the_sums_agree(self) -> None:
        for name in NAMES:
            mine = [owed for place, owed in self.running.values() if place == name]
            tokens, chains = sum(owed.tokens for owed in mine), sum(owed.chains for owed in mine)
            assert self.known.owed(name) == PendingWork(tokens, chains)


TestLedgers = Ledgers.TestCase


@given(st.integers(1, 40), st.integers(1, 10**6), st.integers(0, 50))
def test_a_backlog_sinks_with_every_chain_and_ends_at_nothing(
    chains: int, tokens: int, ends: int
) -> None:
    backlog = Backlog()
    with backlog.owing(request(chains, tokens)) as ended:
        assert backlog.owed == PendingWork(tokens, chains)
        for _ in range(ends):
            before = backlog.owed
            ended()
            assert before.chains - backlog.owed.chains == (before.chains > 0)
            assert backlog.owed.tokens <= before.tokens
        with backlog.owing(request(2)):
            assert backlog.owed.chains == max(0, chains - ends) + 2
    assert backlog.owed == PendingWork()


def test_without_a_forecast_the_whole_budget_is_expected() -> None:
    assert expected(request(3)) == PendingWork(360, 3)
    assert expected(request(3, 50)) == PendingWork(50, 3)
    assert expected(CompletionRequest("q", "text", max_tokens=70)) == PendingWork(70, 1)


MANY = tuple(f"replica {number}" for number in range(1000))


def test_of_many_replicas_a_few_are_ranked_and_the_load_is_even() -> None:
    """A mean of 20 calls each: the most that one gets by blind chance would be about 37."""
    known = routes(slots=10**6)
    for number in range(20 * len(MANY)):
        ranked = known.rank(MANY, RoutingConstraints(PendingWork(100, 1)))
        assert 1 < len(ranked) < 10
        known.send(str(number), ranked[0], PendingWork(100, 1))
    assert max(known.owed(name).chains for name in MANY) <= 23


def test_gateways_with_the_same_reports_do_not_all_choose_the_same_of_many() -> None:
    chosen = []
    for gateway in range(50):
        known = RoutingTable(8, rng=random.Random(gateway))
        for number, name in enumerate(MANY):
            known.report(name, PendingWork(number, 1), version=1)
        chosen.append(known.rank(MANY, RoutingConstraints(PendingWork(1, 1)))[0])
    assert len(set(chosen)) > 40


@given(st.sets(st.sampled_from(MANY), max_size=999), st.sampled_from(MANY))
def test_of_many_replicas_affinity_and_avoidance_hold(avoid: set[str], affinity: str) -> None:
    known = routes()
    ranked = known.rank(MANY, RoutingConstraints(PendingWork(1, 1), affinity, avoid))
    assert ranked and not set(ranked) & avoid
    assert (ranked[0] == affinity) == (affinity not in avoid)
    (only,) = known.rank(MANY, RoutingConstraints(PendingWork(1, 1), only=affinity))
    assert only == affinity
    assert known.rank(MANY, RoutingConstraints(only="gone")) == []
    assert known.rank(MANY, RoutingConstraints(only="gone", or_any=True))
