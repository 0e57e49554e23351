"""What is learned is counted once, handed on once, added up, and bounded."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.curves.class_statistics import ClassStatistics
from policies.curves.drift import QUERIES_AFTER_DRIFT
from scheduler.curves import store as curve_store
from scheduler.curves.exchange import ClassKey, Report
from scheduler.curves.records import ObservationRecord
from scheduler.curves.store import OTHER, CurveStore
from tests.scheduler.observations import PRICE, chain, votes


def store_of(*seen: ObservationRecord) -> CurveStore:
    store = CurveStore()
    for one in seen:
        store.observe(one)
    return store


def statistics(store: CurveStore) -> dict[ClassKey, ClassStatistics]:
    return {key: entry.statistics for key, entry in store.entries.items()}


def queries(store: CurveStore, query_class: str = "sums", model: str = "m") -> float:
    return store.entries[model, query_class].statistics.queries


def test_a_class_that_was_never_seen_has_no_curve() -> None:
    store = CurveStore()
    assert store.curve("m", "sums") is None
    store.observe(chain())
    assert store.curve("m", "other sums") is None
    assert store.curve("another model", "sums") is None


def test_the_first_observation_makes_a_curve_and_more_move_it() -> None:
    store = store_of(chain(right=True))
    first = store.curve("m", "sums")
    for _ in range(9):
        store.observe(chain(right=False))
    later = store.curve("m", "sums")
    assert first is not None and later is not None
    assert (first.queries, later.queries) == (1, 10)
    assert first.extension is not None and later.extension is not None
    assert later.extension.accuracy[0] < first.extension.accuracy[0]


def test_a_well_known_class_is_refitted_after_a_tenth_more() -> None:
    store = CurveStore()
    fitted = []
    for _ in range(60):
        store.observe(chain())
        curve = store.curve("m", "sums")
        assert curve is not None
        fitted.append(curve.queries)
    assert fitted[:10] == list(range(1, 11))
    assert len(set(fitted)) < 40
    assert all(seen - known <= max(1, 0.1 * seen) for seen, known in enumerate(fitted, start=1))


def test_tables_are_fitted_where_the_price_has_gone() -> None:
    store = store_of(*[chain()] * 100)
    for _ in range(200):
        store.observe(replace_price(chain(), 3e-3))
    curve = store.curve("m", "sums")
    assert curve is not None
    assert 2e-3 < curve.price < 3.1e-3


def replace_price(seen: ObservationRecord, price: float) -> ObservationRecord:
    return seen._replace(price=price)


@pytest.mark.parametrize("price", [0.0, 1.0, float("nan")])
def test_a_price_that_cannot_be_is_refused(price: float) -> None:
    with pytest.raises(ValueError, match=f"price .*{price}"):
        CurveStore().observe(replace_price(chain(), price))


def test_a_report_that_comes_twice_counts_once() -> None:
    store = CurveStore()
    for report in [
        Report("a", 1, [chain()]),
        Report("a", 1, [chain()]),
        Report("b", 1, [chain()]),
        Report("a", 2, [chain(), chain()]),
        Report("a", 1, [chain()]),
    ]:
        store.take(report)
    assert queries(store) == 4


def test_what_cannot_be_learned_from_is_named_and_hinders_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad = chain()
    first = replace(bad.observation.history[0], tokens=-5)
    observation = replace(bad.observation, history=(first, bad.observation.history[1]))
    store = CurveStore()
    store.take(Report("a", 1, [bad._replace(observation=observation), chain()]))
    assert queries(store) == 1
    assert "tokens" in caplog.text and "-5" in caplog.text


def test_only_newer_curves_are_given_back() -> None:
    store = store_of(chain(), votes(query_class="words"))
    first = store.update()
    assert first.curves.keys() == {("m", "sums"), ("m", "words")}
    assert store.update(first.epoch, first.version).curves == {}
    store.observe(chain())
    second = store.update(first.epoch, first.version)
    assert second.version > first.version
    assert second.curves.keys() == {("m", "sums")}
    assert second.curves["m", "sums"] is store.curve("m", "sums")
    assert store.update().curves.keys() == first.curves.keys()


def test_a_reader_from_another_life_of_the_book_gets_all() -> None:
    old = store_of(*[chain()] * 50)
    known = old.update()
    store = CurveStore.from_dict(old.as_dict())
    assert store.update(known.epoch, known.version).curves.keys() == {("m", "sums")}


def test_after_a_start_curves_come_a_few_at_a_time_the_most_used_first() -> None:
    old = store_of(*(chain(query_class=str(n)) for n in range(30)), chain(query_class="29"))
    store = CurveStore.from_dict(old.as_dict())
    first = store.update()
    assert len(first.curves) == 20 and ("m", "29") in first.curves
    second = store.update(first.epoch, first.version)
    assert len(first.curves.keys() | second.curves.keys()) == 30


def test_a_new_class_leans_on_the_models_other_classes_only() -> None:
    alone, beside, apart = CurveStore(), CurveStore(), CurveStore()
    for _ in range(30):
        beside.observe(chain(query_class="known", right=False))
        apart.observe(chain(query_class="known", right=False, model="another"))
    curves = []
    for store in (alone, beside, apart):
        store.observe(chain())
        curve = store.curve("m", "sums")
        assert curve is not None and curve.extension is not None
        curves.append(curve.extension.accuracy[0])
    assert curves[0] == curves[2]
    assert curves[1] < curves[0]


def test_a_new_model_starts_from_the_old_ones_curve_with_little_weight() -> None:
    store = store_of(*[chain(right=False)] * 200)
    store.observe(chain(model="m2"))
    store.observe(chain(model="m2", query_class="new"))
    assert queries(store) == 200
    assert queries(store, model="m2") == pytest.approx(QUERIES_AFTER_DRIFT + 1)
    assert queries(store, "new", "m2") == 1


def test_a_class_that_changes_keeps_little_of_what_was_known(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = store_of(*[chain()] * 500)
    for _ in range(100):
        store.observe(chain(length=300))
    assert 50 < queries(store) < 150
    assert "'sums' of m has changed" in caplog.text


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(curve_store, "MAX_CLASSES", 5)
    return 5


def test_past_the_bound_the_least_used_class_folds_into_one_for_all(small: int) -> None:
    store = store_of(*(chain(query_class=f"c{n}") for n in range(small) for _ in range(n + 2)))
    for number in range(20):
        store.observe(chain(query_class=f"new {number}"))
    kept = statistics(store)
    assert len(kept) <= small + 1
    assert {("m", f"c{n}") for n in range(1, small)} - kept.keys() in (set(), {("m", "c1")})
    total = sum(known.queries for known in kept.values())
    assert total == pytest.approx(sum(n + 2 for n in range(small)) + 20)
    assert store.curve("m", "never seen") is store.curve("m", OTHER) is not None


def test_a_class_that_is_not_asked_for_any_more_makes_room(
    small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curve_store, "_IDLE", 10.0)
    store = store_of(*[chain(query_class="old")] * 20)
    for _ in range(20):
        for number in range(small):
            store.observe(chain(query_class=f"new {number}"))
    assert ("m", "old") not in statistics(store)


many = st.lists(
    st.builds(
        lambda query_class, right: chain(query_class=query_class, right=right),
        st.sampled_from("ab"),
        st.booleans(),
    ),
    max_size=5,
)


@settings(max_examples=15, deadline=None)
@given(many, many, many)
def test_merging_books_is_commutative_and_associative(
    a: list[ObservationRecord], b: list[ObservationRecord], c: list[ObservationRecord]
) -> None:
    left, right, once = store_of(*a), store_of(*c), store_of(*a, *b, *c)
    left.merge(store_of(*b))
    left.merge(store_of(*c))
    inner = store_of(*b)
    inner.merge(store_of(*a))
    right.merge(inner)
    assert statistics(left) == statistics(right) == statistics(once)


def test_a_book_survives_being_written_and_read() -> None:
    store = store_of(chain(), votes(), chain(right=False), votes(answers="789"), chain())
    store.take(Report("a", 3, [chain(query_class="words")]))
    loaded = CurveStore.from_dict(store.as_dict())
    for known in (store, loaded):
        known.take(Report("a", 3, [chain()]))
        known.observe(votes(answers="77777"))
    assert statistics(loaded) == statistics(store)
    assert loaded.as_dict()["writers"] == {"a": 3}


def test_a_book_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version must be 5, got 1"):
        CurveStore.from_dict(CurveStore().as_dict() | {"version": 1})


def test_where_waiting_has_a_price_more_votes_are_drawn_at_once() -> None:
    seen = [votes(answers=answers) for answers in ("777", "787", "778", "788", "77") * 4]
    rounds = []
    for round_tokens in (0.0, 500.0):
        store = CurveStore(round_tokens=round_tokens)
        for one in seen:
            store.observe(one)
        curve = store.curve("m", "sums")
        assert curve is not None and (plans := curve.plan_table(PRICE / 8).plans)
        rounds.append(plans[0].votes.first_round)
    assert rounds[1] > rounds[0]
