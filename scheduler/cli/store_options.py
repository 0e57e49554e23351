"""What the commands on a store share: which store, how they end, and moments in time."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from scheduler.cli.options import one_line_errors

F = TypeVar("F", bound=Callable[..., Any])

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}


class StoreUnreachable(click.ClickException):
    """The store is away, or cannot be read now."""

    exit_code = 5


def store_option(command: F) -> F:
    """Which store; the environment may name it."""
    return click.option(
        "--store", required=True, envvar="THINKBUDGET_STORE", metavar="URL",
        help="sqlite:///FILE or postgresql://USER@HOST/NAME; a path is a SQLite file.  "
        "[env: THINKBUDGET_STORE]",
    )(command)  # fmt: skip


@contextmanager
def store_errors() -> Iterator[None]:
    """Wrong input ends a command with exit code 2, a store that is away with 5."""
    from scheduler.store.outcome_store import StoreAway

    try:
        with one_line_errors():
            yield
    except StoreAway as error:
        raise StoreUnreachable(str(error)) from error


class Moment(click.ParamType[float]):
    """So long ago ("24h", "7d"), or a day or time in UTC ("2026-11-29"): seconds since 1970."""

    name = "when"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        from datetime import UTC, datetime

        if isinstance(value, float):
            return value
        if ago := re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", value):
            return time.time() - float(ago[1]) * UNITS[ago[2]]
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"must be like 24h, 7d or 2026-11-29T08:00, got {value!r}", param, ctx)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
