"""What a chain that has ended says: its text, the calls in it, and what its vote is counted by."""

from workers.answers.extract import extract
from workers.answers.tool_calls import OPEN, as_answer
from workers.drivers.running import Running
from workers.drivers.token_text import whole_letters
from workers.forcing.answer_stop import cut
from workers.forcing.stop_text import overlap
from workers.sample import ToolCall


def read_answer(running: Running) -> tuple[str, tuple[ToolCall, ...], str | None]:
    """Nothing is shown of a stop text, of a part of a character, or of a call that was cut short.

    Where one call at most was asked for, the others are dropped.
    """
    chain, shape = running.chain, running.run_options.shape
    params = running.run_options.answering.params
    forced = chain.format.decode(chain.forced_answer)
    if chain.stopped:
        written = whole_letters(chain.stopped.text).lstrip()
    else:
        said = chain.format.decode([*chain.forced_answer, *chain.answer])
        written = whole_letters(said).strip()
    text, calls, vote = shape.read(written, forced)
    if calls and not params.parallel_tool_calls:
        calls = calls[:1]
        vote = as_answer(calls)
    if shape.tools is None:
        return text, calls, vote
    if not calls and shape.forced:
        return "", (), None
    if not chain.reached_end_of_turn:
        begun = text.rindex(OPEN) if OPEN in text else len(text) - overlap(text, OPEN)
        if begun < len(text):
            text = text[:begun].rstrip()
            vote = vote if calls else extract(text, forced, shape.answer)
    if params.answer_stops and (shown := cut(text, params.answer_stops)) != text:
        text, vote = shown, vote if calls else extract(shown, forced, shape.answer)
    return text, calls, vote
