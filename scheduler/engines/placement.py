"""Whether engines fit onto the nodes of a cluster, found out before anyone waits for them.

All GPUs of one engine are on one node: vLLM then runs its ranks as processes of its own, and they
talk through shared memory. Ray grants an actor its GPUs all at once, from one node, or not at all.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Demand(NamedTuple):
    """The engines of one model: the GPUs of each, how many of them, and the CPUs of each."""

    gpus: int
    replicas: int
    cpus: float = 0.0


class Room(NamedTuple):
    """What is free on one node."""

    gpus: float
    cpus: float = math.inf

    def holds(self, demand: Demand) -> bool:
        return self.gpus >= demand.gpus and self.cpus >= demand.cpus

    def less(self, demand: Demand) -> "Room":
        return Room(self.gpus - demand.gpus, self.cpus - demand.cpus)


@dataclass(frozen=True, slots=True)
class Placement:
    """`fit` engines of each model find room together; `left` is the room of each node after it."""

    wanted: Mapping[str, Demand]
    fit: Mapping[str, int]
    left: tuple[Room, ...]

    def shortage(self, model: str) -> str | None:
        """The error when not all engines of a model fit; None if they do."""
        demand, fit = self.wanted[model], self.fit[model]
        if fit >= demand.replicas:
            return None
        by_gpus = not any(node.gpus >= demand.gpus for node in self.left)
        free = [node.gpus if by_gpus else node.cpus for node in self.left]
        needs, unit = (demand.gpus, "GPU") if by_gpus else (demand.cpus, "CPU")
        where = " on one node" if needs > 1 else ""
        most, total = max(free, default=0.0), sum(free)
        has = f"{total:g} left" + (f", {most:g} on one" if total >= needs else "")
        need = f"{needs:g} {unit}{'s' * (needs > 1)}{where}"
        return (
            f"{fit} of {demand.replicas} engines fit: {'another' if fit else 'an engine'} needs "
            f"{need}, the cluster has {has}"
        )


def place(free: Iterable[Room], wanted: Mapping[str, Demand]) -> Placement:
    """Place engines on nodes with so much room each, by the models' names.

    Every model gets its first engine before any gets a second one. Large engines go before small
    ones, each to the node where it leaves least.
    """
    left, fit = list(free), dict.fromkeys(wanted, 0)
    by_size = sorted(wanted, key=lambda model: -wanted[model].gpus)
    firsts = [model for model in by_size if wanted[model].replicas]
    others = [model for model in by_size for _ in range(1, wanted[model].replicas)]
    for model in (*firsts, *others):
        room = [number for number, node in enumerate(left) if node.holds(wanted[model])]
        if room:
            fit[model] += 1
            best = min(room, key=left.__getitem__)
            left[best] = left[best].less(wanted[model])
    return Placement(dict(wanted), fit, tuple(left))
