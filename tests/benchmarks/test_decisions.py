"""What is timed is what a server does."""

from random import Random

from benchmarks.decisions import by_classes, by_queries, learn, observation
from policies.curves.class_statistics import ClassStatistics


def test_a_class_is_timed_at_every_number_of_queries() -> None:
    rows = list(by_queries([200, 400], 20, Random(0)))
    assert len(rows) == 2
    assert all(0 < row.median <= row.high and row.update > 0 and row.bytes > 1000 for row in rows)


def test_more_classes_weigh_no_more_each() -> None:
    few, many = by_classes([1, 3], 20, Random(0))
    assert 0.5 < many.bytes / few.bytes < 2


def test_all_that_comes_is_learned() -> None:
    rng, statistics = Random(0), ClassStatistics()
    learn(statistics, [observation(rng) for _ in range(30)], 500)
    assert statistics.queries == 500
