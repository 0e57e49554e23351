"""Ends an engine core when the process that started it is gone.

A client that ends in order shuts its core down. A client that is killed cannot, and vLLM's core
does not look: it would keep its memory for ever. The core's own workers end with the core.
"""

import multiprocessing
import os
import signal
import threading
from typing import Any

from vllm.v1.engine.core import EngineCoreProc

# Cores may be forked: there the class already has the other function.
_run_engine_core = EngineCoreProc.run_engine_core


def end_cores_with_their_parent() -> None:
    """Every engine core that this process starts from now on ends when this process does."""
    # vLLM has no hook that runs before a core loads its model.
    EngineCoreProc.run_engine_core = staticmethod(run_engine_core)


def run_engine_core(*args: Any, **kwargs: Any) -> None:
    """The main function of a core's process: vLLM's, beside a thread that watches the parent."""
    watch = threading.Thread(target=_end_after_parent, name="ParentDeath", daemon=True)
    watch.start()
    _run_engine_core(*args, **kwargs)


def _end_after_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "a core is a child of the process that uses it"
    parent.join()
    # An orderly end could wait for a model that still loads, or for the client that is gone.
    os.kill(os.getpid(), signal.SIGKILL)
