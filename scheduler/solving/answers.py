"""The answers of one query: which of them are the same, and which are right."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from policies.answer_spec import AnswerSpec
from policies.signals import Probe
from scheduler.solving.rounds import SampleRecord
from workers.answers.classes import EquivalenceClasses
from workers.answers.extract import normalise
from workers.answers.grader import Grader
from workers.answers.math_pool import Undecided
from workers.forcing.chain import UNANSWERED
from workers.sample import Sample


class QueryAnswers:
    """Groups the answers of one query as they come, and grades them at its end.

    Answers that are the same get one spelling, that of the first of them, so that whoever counts
    votes compares strings. Only formulas and patterns are waited for.
    """

    def __init__(self, grader: Grader, spec: AnswerSpec) -> None:
        self._grader, self._spec = grader, spec
        self._classes = EquivalenceClasses(grader.equality, spec)
        #: Grades by answer. None: there is no reference, or the query is not at its end.
        self.right: dict[str, bool] | None = None

    @property
    def is_open_ended(self) -> bool:
        """Whether replies hold no answer that could be compared: nothing votes."""
        return self._spec.kind == "none"

    async def grouped(self, event: Probe | Sample) -> Probe | Sample:
        """The same event with the first answer that says what its answer says."""
        answer = await self._answer_of(event)
        if answer is not None:
            answer = self._classes.add_at_once(answer) or await self._classes.add(answer)
        if answer == event.answer:
            return event
        if isinstance(event, Probe):
            return event._replace(answer=answer)
        return replace(event, answer=answer)

    async def grade(self, records: Iterable[SampleRecord], reference: str | None) -> None:
        """Set `right`: for every answer of chains and trials whether the reference says it too."""
        if reference is None:
            return
        self.right = {}
        for answer in {answer for record in records for answer in _answers(record)}:
            self.right[answer] = await self._grader.is_right(answer, reference, self._spec)

    async def _answer_of(self, event: Probe | Sample) -> str | None:
        """The engine finds answers itself, but for those that a caller's pattern finds."""
        answered = isinstance(event, Probe) or event.stop_cause not in UNANSWERED
        if self._spec.pattern is None or not answered:
            return event.answer
        try:
            found = await self._grader.find(event.text, self._spec)
        except Undecided:
            return event.answer
        return None if found is None else normalise(found, self._spec)


def _answers(record: SampleRecord) -> Iterator[str]:
    answers = [record.sample.answer, *(probe.answer for probe in record.probes or ())]
    return (answer for answer in answers if answer is not None)
