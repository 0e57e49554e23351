"""Asks a policy what to do. One that fails, stalls or answers nonsense ends its query alone."""

import ctypes
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from random import Random
from threading import Thread
from typing import TypeVar

from policies import POLICIES
from policies.base import Branch, Conclude, Decision, Draw, Extend, Policy, Stop
from scheduler.errors import PolicyFailed
from scheduler.solving.run import QueryRun

T = TypeVar("T")
STALL_SECONDS = 1.0
"""The most that a decision of a policy that is not ours may take."""


class PolicyStalled(Exception):
    """The decision was not made in time."""


def decide(policy: Policy, run: QueryRun, rng: Random) -> Decision:
    """Raises PolicyFailed where a policy that is not one of ours does not decide."""
    situation = run.situation()
    if type(policy) in POLICIES.values():
        return policy.decide(situation, rng)
    try:
        decision = _within(STALL_SECONDS, lambda: policy.decide(situation, rng))
    except PolicyStalled:
        why = f"has not decided within {STALL_SECONDS:g} s"
        raise PolicyFailed(policy.name, run.query.id, why) from None
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        why = f"raised {type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
        raise PolicyFailed(policy.name, run.query.id, why) from error
    if nonsense := _nonsense(decision, run):
        raise PolicyFailed(policy.name, run.query.id, nonsense)
    return decision


def _nonsense(decision: object, run: QueryRun) -> str | None:
    match decision:
        case Draw() | Stop():
            return None
        case Extend(chain=chain):
            known = run.pending or chain in run.samples
            return None if known else f"extends chain {chain!r}, which has not finished"
        case Branch(widths=widths):
            paused = {n for n, each in run.resumable.items() if each.stop_cause == "paused"}
            unknown = [] if run.pending else [n for n, _ in widths if n not in paused]
            return f"branches from chain {unknown[0]!r}, which has not paused" if unknown else None
        case Conclude(chain=chain):
            return None if run.pending else f"concludes chain {chain!r}, and no chain is running"
    return f"must return a Draw, Extend, Branch, Conclude or Stop, got {str(decision)[:80]!r}"


def _within(seconds: float, call: Callable[[], T]) -> T:
    """What a call returns or raises; PolicyStalled, and the end of the call, when it is late."""
    result: Future[T] = Future()

    def work() -> None:
        try:
            result.set_result(call())
        except BaseException as error:
            result.set_exception(error)

    # Not on the event loop: a loop that never ends there could not be ended.
    thread = Thread(target=work, name="policy", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive() and thread.ident is not None:
        stalled = ctypes.py_object(PolicyStalled)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), stalled)
        raise PolicyStalled
    return result.result()
