"""Chains of a made-up class: they think up to some length, and settle on an answer on the way."""

from random import Random

from policies.curves.exit_statistics import POSITIONS, ProbeTrajectory
from policies.signals import Probe

TRIAL_TOKENS = 20.0


def trajectory(
    rng: Random,
    *,
    labelled: float = 1.0,
    spoiled: float = 0.0,
    leave_after: int | None = None,
) -> ProbeTrajectory:
    """Right from a random trial on; at the last tenth of its length `spoiled` of them go wrong.

    A chain with `leave_after` is concluded at so many equal trials in a row.
    """
    length = round(rng.lognormvariate(7.5, 0.5))
    found = rng.random() * length
    fate = "wrong" if rng.random() < spoiled else "right"
    probes: list[Probe] = []
    run = 0
    for position in POSITIONS:
        if position >= length:
            break
        if position < found:
            answer, probability = rng.choice("abc"), rng.random() * 0.9
        else:
            answer = fate if position > 0.6 * length else "right"
            probability = 0.9 + 0.1 * rng.random()
        run = run + 1 if probes and probes[-1].answer == answer else 1
        probes.append(Probe(0, position, answer, probability))
        if run == leave_after:
            return _course(probes, position, answer, True, rng.random() < labelled)
    return _course(probes, length, fate, False, rng.random() < labelled)


def _course(
    probes: list[Probe], tokens: int, answer: str | None, concluded: bool, labelled: bool
) -> ProbeTrajectory:
    right = {"right": True, "wrong": False, "a": False, "b": False, "c": False}
    known = right if labelled else {}
    return ProbeTrajectory(probes, tokens, answer, concluded, not concluded, TRIAL_TOKENS, known)
