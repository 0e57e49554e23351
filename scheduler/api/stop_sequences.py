"""An answer while it comes, up to the caller's stop texts."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from workers.forcing.answer_stop import end_of
from workers.forcing.stop_text import overlap


@dataclass(slots=True)
class StopSequenceFilter:
    """An answer that is shown while it comes, and reads in the end as the whole one, stripped.

    Held back is what may be the beginning of a stop, and white space until more follows it: at the
    end of an answer it is dropped, before any stop is looked for.
    """

    stops: Sequence[str] = ()
    shown: str = ""
    ended: bool = False
    _held: str = field(default="")

    def feed(self, piece: str) -> str:
        """What may be shown now."""
        if self.ended:
            return ""
        text = self._held + piece
        text = text if self.shown else text.lstrip()
        end = end_of(text, self.stops)
        self.ended = end is not None
        sure = text[: len(text) - self._unsure(text) if end is None else end].rstrip()
        self._held = text[len(sure) :]
        self.shown += sure
        return sure

    def close(self, whole: str) -> str:
        """The rest of the answer, which is known now to be `whole`."""
        return whole.removeprefix(self.shown) if whole.startswith(self.shown) else ""

    def _unsure(self, text: str) -> int:
        return max((overlap(text, stop) for stop in self.stops), default=0)
