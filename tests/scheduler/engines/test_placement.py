"""Whether engines fit is told before anyone waits for them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.engines.placement import engines_that_fit, shortage

free = st.lists(st.integers(0, 16).map(float), max_size=8)


@given(free, st.integers(1, 8))
def test_an_engine_has_all_its_gpus_on_one_node(nodes: list[float], gpus: int) -> None:
    fit = engines_that_fit(nodes, gpus)
    assert fit * gpus <= sum(nodes)
    assert fit == sum(engines_that_fit([node], gpus) for node in nodes)
    assert (fit == 0) == all(node < gpus for node in nodes)


@given(free, st.integers(0, 8), st.integers(1, 8))
def test_something_is_told_only_if_not_all_fit(
    nodes: list[float], gpus: int, replicas: int
) -> None:
    told = shortage(nodes, gpus=gpus, replicas=replicas)
    assert (told is not None) == (gpus > 0 and engines_that_fit(nodes, gpus) < replicas)


@pytest.mark.parametrize(
    ("nodes", "gpus", "replicas", "told"),
    [
        ([], 1, 1, "0 of 1 engines fit: an engine needs 1 GPU, the cluster has 0 left"),
        ([4.0], 2, 3, "2 of 3 engines fit: another needs 2 GPUs on one node, "
         "the cluster has 0 left"),
        ([1.0, 1.0], 2, 1, "0 of 1 engines fit: an engine needs 2 GPUs on one node, "
         "the cluster has 2 left, 1 on one"),
    ],
)  # fmt: skip
def test_what_is_needed_and_what_is_left_are_named(
    nodes: list[float], gpus: int, replicas: int, told: str
) -> None:
    assert shortage(nodes, gpus=gpus, replicas=replicas) == told
