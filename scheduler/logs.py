"""The logs of all processes of a server, as one stream of lines.

Engines, gateways and the curve store write one JSON object a line. The process that started them
shows these lines beside its own, as text or as they are. On a cluster they stay in Ray's log files.
"""

import json
import logging
import sys
import time
from typing import Any, Literal, TextIO, get_args

LogLevel = Literal["debug", "info", "warning", "error"]
LOG_LEVELS: tuple[str, ...] = get_args(LogLevel)
# Of this project: `thinkbudget`, and the modules of `workers`.
LOGGERS = ("thinkbudget", "workers", "scheduler")
# Its records are JSON objects already.
REQUESTS = "thinkbudget.requests"
SHOWN_OF_A_REQUEST = ("method", "path", "status", "outcome", "tokens", "seconds", "request_id")


class JsonFormatter(logging.Formatter):
    """A record as a JSON object in one line."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": message,
        }
        if record.name == REQUESTS:
            line["request"] = asked = json.loads(message)
            line["message"] = " ".join(str(asked.get(part, "")) for part in SHOWN_OF_A_REQUEST)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class TextFormatter(logging.Formatter):
    """A record as text."""

    def format(self, record: logging.LogRecord) -> str:
        return as_text(json.loads(JsonFormatter().format(record)))


def configure(level: str, *, as_json: bool = True, stream: TextIO | None = None) -> None:
    """Have this process write the logs of this project, from a level on, to a stream (stderr)."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level.upper())
        logger.propagate = False


def shown(line: str, *, as_json: bool, everything: bool) -> str | None:
    """What to show of a line that a process has written; None where it is no line of ours.

    With `everything`, lines of Ray, vLLM and others are shown too.
    """
    try:
        text = as_text(json.loads(line))
    except (ValueError, TypeError, KeyError):
        if not everything:
            return None
        return json.dumps({"message": line}) if as_json else line
    return line if as_json else text


def as_text(record: dict[str, Any]) -> str:
    """A line of `JsonFormatter` for people."""
    text = f"{record['time']} {record['level']:<7} {record['pid']} {record['message']}"
    return text + (f"\n{record['exception']}" if "exception" in record else "")


def write(line: str) -> None:
    """Write one line to stderr."""
    print(line, file=sys.stderr, flush=True)


def tell(message: str, *, as_json: bool) -> None:
    """Tell the operator something, whatever the level of the logs."""
    if as_json:
        record = logging.LogRecord("thinkbudget", logging.INFO, "", 0, "%s", (message,), None)
        message = JsonFormatter().format(record)
    write(message)
