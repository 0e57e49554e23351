"""Why something on Ray Serve cannot start, in one line. Imports ray."""

import contextlib
import re
from itertools import takewhile

from ray import serve

from scheduler.cluster.unreachable import UNREACHABLE


def reason(text: str) -> str:
    """The error's whole message in one line, out of the traces that it came with from a replica.

    Indented lines below the error's own belong to it, as those of a validation error do.
    """
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)  # Ray writes in colours
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    errors = [at for at, line in enumerate(lines) if _ERROR.match(line)]
    if not errors:
        return " ".join((lines or ["no reason is given"])[-1].split())
    first, *rest = lines[errors[-1] :]
    more = list(takewhile(lambda line: line.startswith("  "), rest))[:3]
    return " ".join(" ".join([first, *more]).split())


_ERROR = re.compile(r"\W*((?:\w+\.)*\w*(?:Error|Exception|Died|Exit)\b.*)")


def messages(application: str, message: str) -> str:
    """A message, and what the deployments say of themselves: Serve names them, but not why."""
    with contextlib.suppress(*UNREACHABLE, RuntimeError, KeyError):
        parts = serve.status().applications[application].deployments.values()
        return "\n".join([message, *(part.message for part in parts)])
    return message
