"""The sampler against cases worked out by hand (s1, section 2.2 and its data code)."""

import numpy as np
import pytest

from training.curate.sampler import Benchmarks, Pool, longest, rank_weights, sample


def pool(*rows: tuple[str, int]) -> Pool:
    return Pool([domain for domain, _ in rows], np.array([length for _, length in rows]))


def test_the_weight_halves_with_every_rank() -> None:
    assert rank_weights(3) == pytest.approx([4 / 7, 2 / 7, 1 / 7])
    assert rank_weights(5000)[-1] == 0.0  # underflow is no error


def test_the_longest_trace_of_a_domain_comes_first_in_so_many_cases() -> None:
    three = pool(("11", 10), ("11", 30), ("11", 20))
    first = [sample(three, 1, np.random.default_rng(seed))[0] for seed in range(2000)]
    shares = [first.count(row) / 2000 for row in (1, 2, 0)]
    assert shares == pytest.approx([4 / 7, 2 / 7, 1 / 7], abs=0.04)


def test_benchmark_weights_scale_the_first_to_half_of_the_second_and_round_down() -> None:
    # GPQA: 6 + 2 rows, AIME: 4 rows; r = 0.5 * 4 / 8 = 0.25, so int(1.5) = 1 and int(0.5) = 0.
    weights = Benchmarks(["81"] * 6 + ["92"] * 2, ["11"] * 3 + ["05"]).weights()
    assert weights == {"81": 1 / 5, "11": 3 / 5, "05": 1 / 5}
    assert Benchmarks([], ["11"]).weights() == {}


def test_preselected_rows_stay_in_their_domains_so_a_draw_may_add_nothing() -> None:
    two = pool(("11", 2), ("11", 1))
    assert sample(two, 1, np.random.default_rng(0), preselected=[0]) == [0]
    assert sample(two, 2, np.random.default_rng(0), preselected=[0]) == [0, 1]


def test_the_second_phase_draws_domains_of_the_benchmarks_only() -> None:
    rows = pool(*[("11", n) for n in range(50)], *[("92", n) for n in range(50)])
    chosen = sample(rows, 40, np.random.default_rng(0), uniform_until=0, weights={"92": 1.0})
    assert min(chosen) >= 50


def test_domains_that_run_out_are_left_in_both_phases() -> None:
    rows = pool(("11", 1), ("92", 1), ("92", 2), ("05", 1))
    chosen = sample(rows, 4, np.random.default_rng(3), uniform_until=1, weights={"11": 1.0})
    assert chosen == [0, 1, 2, 3]


def test_a_seed_fixes_the_set_and_a_small_pool_is_refused() -> None:
    rows = pool(*[(str(n % 7), n) for n in range(100)])
    assert sample(rows, 9, np.random.default_rng(5)) == sample(rows, 9, np.random.default_rng(5))
    with pytest.raises(ValueError, match=r"select\.size is 101, and only 100"):
        sample(rows, 101, np.random.default_rng(0))


def test_the_longest_are_chosen_by_length_and_then_by_place() -> None:
    assert longest([5, 9, 5, 7], 3) == [0, 1, 3]
