"""Whether engines fit onto the GPUs of a cluster, found out before anyone waits for them.

All GPUs of one engine are on one node: vLLM then runs its ranks as processes of its own, and they
talk through shared memory. Ray grants an actor its GPUs all at once, from one node, or not at all.
"""

from collections.abc import Iterable


def engines_that_fit(free: Iterable[float], gpus: int) -> int:
    """`free` are the free GPUs of every node, `gpus` what one engine needs (at least 1)."""
    return sum(int(left // gpus) for left in free)


def shortage(free: Iterable[float], *, gpus: int, replicas: int) -> str | None:
    """The error when not all engines fit; None if they do."""
    nodes = list(free)
    if gpus == 0 or (fit := engines_that_fit(nodes, gpus)) >= replicas:
        return None
    left = [node % gpus for node in nodes]
    where = " on one node" if gpus > 1 else ""
    has = f"{sum(left):g} left" + (f", {max(left):g} on one" if sum(left) >= gpus else "")
    need = f"{'another' if fit else 'an engine'} needs {gpus} GPU{'s' * (gpus > 1)}{where}"
    return f"{fit} of {replicas} engines fit: {need}, the cluster has {has}"
