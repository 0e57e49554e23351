"""Whether engines fit is told before anyone waits for them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.engines.placement import Demand, Room, place

halves = st.integers(0, 16).map(lambda number: number / 2)
rooms = st.lists(st.builds(Room, st.integers(0, 16).map(float), halves), max_size=8)
demands = st.builds(Demand, st.integers(0, 8), st.integers(1, 8), st.sampled_from([0.0, 0.5]))
ONE = "model"


@given(rooms, st.integers(1, 8))
def test_an_engine_has_all_it_needs_on_one_node(nodes: list[Room], gpus: int) -> None:
    fit = place(nodes, {ONE: Demand(gpus, 1000, 0.5)}).fit[ONE]
    assert fit == sum(min(int(node.gpus // gpus), int(node.cpus // 0.5)) for node in nodes)


@given(rooms, demands)
def test_something_is_told_only_if_not_all_fit(nodes: list[Room], wanted: Demand) -> None:
    placement = place(nodes, {ONE: wanted})
    assert (placement.shortage(ONE) is not None) == (placement.fit[ONE] < wanted.replicas)


@given(rooms, st.dictionaries(st.sampled_from("abcd"), demands))
def test_engines_of_several_models_share_the_nodes(
    nodes: list[Room], wanted: dict[str, Demand]
) -> None:
    placement = place(nodes, wanted)
    for kind in ("gpus", "cpus"):
        was, left = ([getattr(node, kind) for node in each] for each in (nodes, placement.left))
        taken = sum(placement.fit[model] * getattr(wanted[model], kind) for model in wanted)
        assert taken == sum(was) - sum(left)
        assert all(0 <= after <= before for after, before in zip(left, was, strict=True))
    for model, demand in wanted.items():
        assert placement.fit[model] <= demand.replicas
        if placement.fit[model] < demand.replicas:  # there was no room for one more
            assert not any(node.holds(demand) for node in placement.left)


def test_every_model_gets_an_engine_before_one_gets_two_and_large_ones_go_first() -> None:
    wanted = {"small": Demand(1, 4), "large": Demand(2, 2)}
    placement = place([Room(2.0), Room(2.0)], wanted)
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
    free = [Room(gpus) for gpus in nodes]
    assert place(free, {ONE: Demand(gpus, replicas, 0.5)}).shortage(ONE) == told


def test_an_engine_without_gpus_needs_cpus() -> None:
    placement = place([Room(0.0, 0.75)], {"one": Demand(0, 1, 0.5), "more": Demand(0, 1, 0.5)})
    assert placement.shortage("one") is None
    assert placement.shortage("more") == (
        "0 of 1 engines fit: an engine needs 0.5 CPU, the cluster has 0.25 left"
    )
