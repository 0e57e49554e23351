"""The process that compares formulas with math-verify: `python math_process.py MEGABYTES SECONDS`.

It reads one JSON line a task and answers each with one. It holds itself to its limits: the memory
and the seconds of a task, after which the system ends it, and it may neither write files, start
programs nor use the network. It ends with its parent. It imports nothing of ours.
"""

import contextlib
import ctypes
import json
import logging
import os
import re
import resource
import signal
import sys
from collections import deque
from typing import Any

REFUSED = ("os.", "subprocess.", "socket.", "shutil.", "ctypes.", "pty.", "ftplib.", "urllib.")
ALLOWED = {"os.listdir", "os.scandir", "os.walk"}
DIE_WITH_PARENT = 1


def main() -> None:
    megabytes, seconds = int(sys.argv[1]), float(sys.argv[2])
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() == 1:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable(logging.CRITICAL)
    import math_verify  # it takes a second

    compare(math_verify, "x+1", "1+x")
    sys.addaudithook(refuse)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        # Without a handler the alarm ends the process, whatever it is doing.
        signal.setitimer(signal.ITIMER_REAL, seconds)
        answer = answer_to(math_verify, json.loads(line))
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(json.dumps(answer), flush=True)


def answer_to(math_verify: Any, task: dict[str, Any]) -> dict[str, Any]:
    try:
        if "pattern" in task:
            return {"found": last_match(task["pattern"], task["text"])}
        return {"same": compare(math_verify, task["one"], task["other"])}
    except MemoryError:
        return {"error": "memory"}
    except Exception as error:
        return {"error": type(error).__name__}


def compare(math_verify: Any, one: str, other: str) -> bool | None:
    """Whether two formulas are equal, None where one of them cannot be read."""
    from latex2sympy2_extended import NormalizationConfig
    from sympy import Eq, nan, simplify

    # By default it removes letters that could be units: 5t would be 5.
    cleaned = NormalizationConfig(malformed_operators=True, nits=True, boxed="none")
    config = [math_verify.LatexExtractionConfig(normalization_config=cleaned)]
    parsed = []
    for latex in (one, other):
        found = math_verify.parse(f"${latex}$", config, parsing_timeout=None)
        # Beside the value is the text of it; a text alone could not be read.
        if not found or isinstance(found[0], str):
            return None
        parsed.append(found)
    if all(isinstance(found[0], Eq) for found in parsed):
        # Equations are equal where one is a multiple of the other.
        left, right = (found[0].lhs - found[0].rhs for found in parsed)
        ratio = simplify(left / right) if right != 0 else nan
        if ratio.is_number and ratio.is_finite and ratio != 0:
            return True
    # Either may be the reference.
    return any(
        math_verify.verify(gold, target, timeout_seconds=None)
        for gold, target in (parsed, parsed[::-1])
    )


def last_match(pattern: str, text: str) -> str | None:
    found = deque(re.finditer(pattern, text), maxlen=1)
    if not found:
        return None
    return found[0].group(1) if found[0].re.groups else found[0].group()


def refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: raises PermissionError on what no formula needs."""
    if event == "open":
        mode = arguments[1]
        if isinstance(mode, str) and set(mode) & set("wax+"):
            raise PermissionError(event)
    elif event.startswith(REFUSED) and event not in ALLOWED:
        raise PermissionError(event)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        main()
