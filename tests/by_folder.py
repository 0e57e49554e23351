"""Which tests run in one process, and what becomes of them when that process ends."""

from typing import Any

from xdist.scheduler import LoadScopeScheduling

# Tests of one folder run in one process: they share an engine, or a cluster and its endpoint.
SHARED = {
    "tests/real/engine/": "engine",
    "tests/real/cluster/": "cluster",
    "tests/real/training/": "training",
    "tests/clients/": "cluster",
    "tests/thorough/": "thorough",
}


def group_of(nodeid: str) -> str | None:
    return next((group for folder, group in SHARED.items() if nodeid.startswith(folder)), None)


class ByFolder(LoadScopeScheduling):  # type: ignore[misc]
    """Distribute unit tests by file, real tests by what they share.

    Unit tests go first (`--no-loadscope-reorder`), so none runs in a process where Ray or vLLM
    were started. By folder: xdist 3.8 does not see marks of groups under pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid) or nodeid.split("::")[0]

    def remove_node(self, node: Any) -> str | None:
        """Go on in another process with what the one that ended had before it.

        xdist 3.8 hands out its finished files once more, as work of no tests, and the process that
        gets them waits for ever; it also runs the test that ended the process again.
        """
        crashed: str | None = super().remove_node(node)
        if crashed is not None:
            self.workqueue[self._split_scope(crashed)][crashed] = True
        for scope, unit in [*self.workqueue.items()]:
            if all(unit.values()):
                del self.workqueue[scope]
        return crashed
