"""Why an engine core did not start: vLLM writes that into the core's own log, and nowhere else."""

import contextlib
import copy
import json
import logging
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


class FirstError(logging.Handler):
    """Keeps the first exception that is logged by any of the processes that share a file.

    Those that follow are its echoes. Once the file's folder is gone, nothing is kept.
    """

    def __init__(self, path: str) -> None:
        super().__init__(logging.ERROR)
        self._path = Path(path)

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            # In one line: of several, those who pass the error on keep the first alone.
            message = " ".join("".join(traceback.format_exception_only(error)).split())
            with contextlib.suppress(OSError), self._path.open("x", encoding="utf-8") as file:
                file.write(message)


@contextlib.contextmanager
def root_cause_kept(usual: Mapping[str, Any], logger: str) -> Iterator[str]:
    """A file for `logging.config.dictConfig`, for all processes of what is started in this block.

    It is the `usual` configuration, and keeps the first error of `logger`: a RuntimeError that
    leaves the block says it.
    """
    with tempfile.TemporaryDirectory(prefix="thinkbudget-") as folder:
        cause, file = Path(folder, "cause"), Path(folder, "logging.json")
        configuration = copy.deepcopy(dict(usual))
        handler = {"class": f"{__name__}.{FirstError.__name__}", "path": str(cause)}
        configuration["handlers"]["cause"] = handler
        configuration["loggers"][logger]["handlers"].append("cause")
        file.write_text(json.dumps(configuration), encoding="utf-8")
        try:
            yield str(file)
        except RuntimeError as error:
            if not cause.exists():
                raise
            message = cause.read_text(encoding="utf-8")
            raise RuntimeError(f"the engine core did not start: {message}") from error
