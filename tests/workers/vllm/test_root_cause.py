import json
import logging
import multiprocessing
from logging.config import dictConfig
from pathlib import Path

import pytest

from workers.vllm.root_cause import root_cause_kept

USUAL = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"usual": {"class": "logging.NullHandler"}},
    "loggers": {"core": {"handlers": ["usual"], "level": "INFO", "propagate": False}},
}


def fail(file: str, message: str) -> None:
    """What a core's process does that cannot start."""
    configure(file)
    try:
        raise ValueError(message)
    except ValueError:
        logging.getLogger("core.start").exception("failed to start")


def configure(file: str) -> None:
    dictConfig(json.loads(Path(file).read_text(encoding="utf-8")))


def test_the_first_error_of_all_processes_is_the_reason() -> None:
    context = multiprocessing.get_context("spawn")
    with (
        pytest.raises(RuntimeError, match=r"did not start: ValueError: no room of 2 GiB$"),
        root_cause_kept(USUAL, "core") as file,
    ):
        for message in ("no room\n  of 2 GiB", "an echo of it"):
            core = context.Process(target=fail, args=(file, message))
            core.start()
            core.join()
        raise RuntimeError("see above")


def test_where_nothing_was_logged_the_error_stays() -> None:
    with (
        pytest.raises(RuntimeError, match="^see above$"),
        root_cause_kept(USUAL, "core") as file,
    ):
        configure(file)
        logging.getLogger("core").error("an error without an exception")
        raise RuntimeError("see above")


def test_what_fails_after_the_start_is_logged_as_usual() -> None:
    with root_cause_kept(USUAL, "core") as file:
        configure(file)
    try:
        raise ValueError("much later")
    except ValueError:
        logging.getLogger("core").exception("failed")
    assert not Path(file).parent.exists()
    assert USUAL["loggers"] == {
        "core": {"handlers": ["usual"], "level": "INFO", "propagate": False}
    }
    dictConfig(USUAL)
