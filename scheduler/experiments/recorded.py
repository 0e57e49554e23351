"""What a replayed engine draws from: outcome logs, traces of `collect`, and vote traces."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from policies.answer_spec import AnswerSpec
from scheduler.experiments.questions.question import Question
from scheduler.experiments.recordings import VoteTrace, load_recordings
from scheduler.solving.outcome import read_outcomes

Recorded = list[dict[str, Any]]


def recording_files(path: Path) -> list[Path]:
    """A file, or all of a folder that hold records. Raises ValueError if there are none."""
    if path.is_file():
        return [path]
    found = [
        each
        for each in sorted(path.glob("*"))
        if each.name.endswith((".jsonl", ".jsonl.gz", ".csv", ".csv.gz"))
    ]
    if not found:
        raise ValueError(f"recording {str(path)!r}: there is no such file, and no records in it")
    return found


def read_recording(path: Path) -> Recorded:
    """Its lines as those of an outcome log. Raises ValueError that names the file."""
    recorded: Recorded = []
    for file in recording_files(path):
        if file.name.endswith((".jsonl", ".jsonl.gz")):
            recorded += _outcomes(file)
        else:
            recorded += [line for trace in load_recordings(file).votes for line in _votes(trace)]
    if not recorded:
        raise ValueError(f"recording {str(path)!r}: no samples in it")
    return recorded


def recorded_questions(recorded: Iterable[dict[str, Any]], path: str) -> list[Question]:
    """Every recorded question of known answer, once. Raises ValueError if there is none."""
    found: dict[str, Question] = {}
    for line in recorded:
        text, reference = line["question"], line.get("reference")
        if text in found or reference is None:
            continue
        given = line.get("answer_spec")
        spec = AnswerSpec(given["kind"], tuple(given["choices"])) if given else AnswerSpec()
        name = str(line.get("question_id") or line.get("id") or text)
        found[text] = Question(name, line.get("class", "default"), text, reference, spec)
    if not found:
        raise ValueError(
            f"recording {path!r}: no question in it has a `reference`, the right answer"
        )
    return list(found.values())


def _outcomes(file: Path) -> Recorded:
    try:
        lines = [line for line in read_outcomes(file) if line.get("samples")]
        for line in lines:
            _ = line["question"], [sample["answer"] for sample in line["samples"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file}: not an outcome log: {error!r}") from None
    return lines


def _votes(trace: VoteTrace) -> Recorded:
    """Chains without an end that would be known: sampled, uncut, each as long as its tokens."""
    lines = []
    for name, chains in zip(trace.names, trace.questions, strict=True):
        right = [chain.answer for chain in chains if chain.right and chain.answer is not None]
        samples = [
            {
                "chain": number,
                "temperature": 1.0,
                "extensions": 0,
                "answer": chain.answer,
                "stop_cause": "natural",
                "thinking_tokens": chain.tokens,
                "chain_tokens": chain.tokens,
                "seconds": 0.0,
                "right": chain.right,
            }
            for number, chain in enumerate(chains)
        ]
        reference = min(right, default="not among the recorded answers")
        lines.append(
            {
                "question": f"{trace.query_class} {name}",
                "question_id": name,
                "class": trace.query_class,
                "reference": reference,
                "samples": samples,
            }
        )
    return lines
