"""Whether engines fit onto the GPUs of a cluster, found out before anyone waits for them.

All GPUs of one engine are on one node: vLLM then runs its ranks as processes of its own, and they
talk through shared memory. Ray grants an actor its GPUs all at once, from one node, or not at all.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Demand(NamedTuple):
    """The engines of one model: the GPUs of each, and how many of them."""

    gpus: int
    replicas: int


@dataclass(frozen=True, slots=True)
class Placement:
    """`fit` engines of each model find room together; `left` are the GPUs of each node after it."""

    wanted: Mapping[str, Demand]
    fit: Mapping[str, int]
    left: tuple[float, ...]

    def shortage(self, model: str) -> str | None:
        """The error when not all engines of a model fit; None if they do."""
        (gpus, replicas), fit = self.wanted[model], self.fit[model]
        if fit >= replicas:
            return None
        where = " on one node" if gpus > 1 else ""
        most, total = max(self.left, default=0.0), sum(self.left)
        has = f"{total:g} left" + (f", {most:g} on one" if total >= gpus else "")
        need = f"{'another' if fit else 'an engine'} needs {gpus} GPU{'s' * (gpus > 1)}{where}"
        return f"{fit} of {replicas} engines fit: {need}, the cluster has {has}"


def place(free: Iterable[float], wanted: Mapping[str, Demand]) -> Placement:
    """Place engines on nodes with so many `free` GPUs each, by the models' names.

    Every model gets its first engine before any gets a second one. Large engines go before small
    ones, each to the node where it leaves least.
    """
    left, fit = list(free), dict.fromkeys(wanted, 0)
    by_size = sorted(wanted, key=lambda model: -wanted[model].gpus)
    firsts = [model for model in by_size if wanted[model].replicas]
    others = [model for model in by_size for _ in range(1, wanted[model].replicas)]
    for model in (*firsts, *others):
        gpus = wanted[model].gpus
        room = [node for node, has in enumerate(left) if has >= gpus]
        if gpus == 0 or room:
            fit[model] += 1
        if gpus and room:
            left[min(room, key=left.__getitem__)] -= gpus
    return Placement(dict(wanted), fit, tuple(left))
