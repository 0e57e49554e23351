"""How far long work has come: a bar on a terminal, a plain line every five seconds elsewhere.

For machines the lines can be JSON: {"what", "done", "total", "per_second", "seconds_left", "note"}.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, Protocol

PLAIN_SECONDS = 5.0
FORESEEN_FROM = 0.01  # share of the work after which its speed says when it ends


class Progress(Protocol):
    def advance(self, note: str = "") -> None:
        """One more unit is done; `note` says how it goes."""


class _Plain:
    def __init__(self, what: str, total: int | None, done: int, as_json: bool = False) -> None:
        self._what, self._total, self._done, self._as_json = what, total, done, as_json
        self._began = self._last = time.monotonic()
        self._first = done

    def advance(self, note: str = "") -> None:
        self._done += 1
        now = time.monotonic()
        if now - self._last >= PLAIN_SECONDS:
            self._last = now
            self.show(note)

    def show(self, note: str = "") -> None:
        elapsed = time.monotonic() - self._began
        done_here = self._done - self._first
        speed = done_here / max(elapsed, 1e-9)
        of = f"/{self._total}" if self._total is not None else ""
        seconds_left = None
        if (
            self._total is not None
            and self._total > self._done
            and done_here >= max(1, FORESEEN_FROM * (self._total - self._first))
        ):
            seconds_left = (self._total - self._done) / speed
        left = "" if seconds_left is None else f", {seconds_left:.0f} s left"
        line = f"{self._what}: {self._done}{of}, {speed:.1f}/s, {elapsed:.0f} s{left} {note}"
        if self._as_json:
            line = json.dumps(
                {
                    "what": self._what,
                    "done": self._done,
                    "total": self._total,
                    "per_second": round(speed, 2),
                    "seconds_left": seconds_left and round(seconds_left, 1),
                    "note": note,
                }
            )
        print(line.rstrip(), file=sys.stderr, flush=True)


ProgressKind = Literal["auto", "plain", "json"]


@contextmanager
def progress(
    what: str, total: int | None, *, done: int = 0, kind: ProgressKind = "auto"
) -> Iterator[Progress]:
    """`total=None` when the end is not known; `done` of it were done before."""
    if kind != "auto" or not sys.stderr.isatty():
        plain = _Plain(what, total, done, as_json=kind == "json")
        yield plain
        plain.show("done")
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total, completed=done, note="")

        class Rich:
            def advance(self, note: str = "") -> None:
                bar.update(task, advance=1, note=note)

        yield Rich()
