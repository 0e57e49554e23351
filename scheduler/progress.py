"""How far long work has come: a bar on a terminal, a plain line every five seconds elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

PLAIN_SECONDS = 5.0


class Progress(Protocol):
    def advance(self, note: str = "") -> None:
        """One more unit is done; `note` says how it goes."""


class _Plain:
    def __init__(self, what: str, total: int | None, done: int) -> None:
        self._what, self._total, self._done = what, total, done
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
        speed = (self._done - self._first) / max(elapsed, 1e-9)
        of = f"/{self._total}" if self._total is not None else ""
        left = ""
        if self._total is not None and speed > 0 and self._total > self._done:
            left = f", {(self._total - self._done) / speed:.0f} s left"
        print(
            f"{self._what}: {self._done}{of}, {speed:.1f}/s, {elapsed:.0f} s{left} {note}".rstrip(),
            file=sys.stderr,
            flush=True,
        )


@contextmanager
def progress(what: str, total: int | None, *, done: int = 0) -> Iterator[Progress]:
    """`total=None` when the end is not known; `done` of it were done before."""
    if not sys.stderr.isatty():
        plain = _Plain(what, total, done)
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
