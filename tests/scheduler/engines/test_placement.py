"""Whether engines fit is told before anyone waits for them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.engines.placement import Demand, place

free = st.lists(st.integers(0, 16).map(float), max_size=8)
demands = st.builds(Demand, st.integers(0, 8), st.integers(1, 8))
ONE = "model"


@given(free, st.integers(1, 8))
def test_an_engine_has_all_its_gpus_on_one_node(nodes: list[float], gpus: int) -> None:
    fit = place(nodes, {ONE: Demand(gpus, 1000)}).fit[ONE]
    assert fit == sum(int(node // gpus) for node in nodes)


@given(free, demands)
def test_something_is_told_only_if_not_all_fit(nodes: list[float], wanted: Demand) -> None:
    placement = place(nodes, {ONE: wanted})
    assert (placement.shortage(ONE) is not None) == (placement.fit[ONE] < wanted.replicas)
    assert wanted.gpus or placement.fit[ONE] == wanted.replicas


@given(free, st.dictionaries(st.sampled_from("abcd"), demands))
def test_engines_of_several_models_share_the_gpus(
    nodes: list[float], wanted: dict[str, Demand]
) -> None:
    placement = place(nodes, wanted)
    taken = sum(placement.fit[model] * demand.gpus for model, demand in wanted.items())
    assert taken == sum(nodes) - sum(placement.left)
    assert all(0 <= left <= node for left, node in zip(placement.left, nodes, strict=True))
    for model, demand in wanted.items():
        assert placement.fit[model] <= demand.replicas
        if placement.fit[model] < demand.replicas:  # there was no room for one more
            assert max(placement.left, default=0) < demand.gpus


def test_every_model_gets_an_engine_before_one_gets_two_and_large_ones_go_first() -> None:
    wanted = {"small": Demand(1, 4), "large": Demand(2, 2)}
    placement = place([2.0, 2.0], wanted)
    assert placement.fit == {"small": 2, "large": 1}
    assert placement.shortage("large") == (
        "1 of 2 engines fit: another needs 2 GPUs on one node, the cluster has 0 left"
    )


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
    assert place(nodes, {ONE: Demand(gpus, replicas)}).shortage(ONE) == told
