"""Recorded answers are read, checked to the cell, and written in the same form."""

import asyncio
import gzip
from pathlib import Path

import pytest

from benchmarks.record_traces import record, write
from scheduler.experiments.questions.question import Question
from scheduler.experiments.recordings import Prefix, Sampled, load_recordings
from scheduler.progress import progress
from workers.simulated.engine import SimulatedEngine

VOTES = "qid,sid,length,answer,correct,level\n1,0,10,4,1,5\n1,1,12,,0,5\n2,0,7,x,0,1\n"
PREFIXES = (
    "dataset,qid,category,seed,decile,prefix_tokens,trace_tokens,pred,pred_prob,choice_mass,correct\n"
    "d,1,bio,0,10,900,900,A,0.9,1,1\n"
    "d,1,bio,0,0,0,900,B,0.25,1,0\n"
)


def test_each_file_is_a_class_of_questions_with_their_chains(tmp_path: Path) -> None:
    (tmp_path / "letters.csv").write_text(VOTES)
    with gzip.open(tmp_path / "sums.csv.gz", "wt") as file:
        file.write(VOTES)
    letters, sums = load_recordings(tmp_path).votes
    assert (letters.query_class, sums.query_class) == ("letters", "sums")
    assert letters.questions == sums.questions
    assert letters.questions[0] == (Sampled(10, "4", True), Sampled(12, None, False))


def test_prefixes_are_in_the_order_of_their_length(tmp_path: Path) -> None:
    (tmp_path / "thoughts.csv").write_text(PREFIXES)
    (trace,) = load_recordings(tmp_path).prefixes
    (chain,) = trace.chains
    assert chain.tokens == 900
    assert chain.prefixes == (Prefix(0, "B", 0.25, False), Prefix(900, "A", 0.9, True))


def test_a_table_of_another_kind_is_skipped_and_said_so(tmp_path: Path) -> None:
    (tmp_path / "hazards.csv").write_text("model,step\na,1\n")
    assert load_recordings(tmp_path).skipped == ("hazards.csv",)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("3,0,nan,x,0", r"votes\.csv:5: bad length: nan"),
        ("3,0,-1,x,0", r"votes\.csv:5: bad length: -1\.0"),
        ("3,0,inf,x,0", r"votes\.csv:5: bad length: inf"),
        ("3,0,ten,x,0", r"votes\.csv:5: bad length: 'ten'"),
        ("3,0,1e12,x,0", r"votes\.csv:5: bad length: 1e\+?12|bad length: 1000000000000\.0"),
        ("3,0,10,x,2", r"votes\.csv:5: bad correct: '2'"),
        ("3,0,10,,1", r"votes\.csv:5: bad correct"),
        (",0,10,x,0", r"votes\.csv:5: bad qid: ''"),
        ("3,0", r"votes\.csv:5: bad answer: None"),
        ("1,1,10,x,0", r"votes\.csv:5: bad sid: '1, a second time for 1'"),
    ],
)
def test_a_bad_cell_is_named_by_file_line_column_and_value(
    tmp_path: Path, row: str, message: str
) -> None:
    (tmp_path / "votes.csv").write_text(VOTES + row + "\n")
    with pytest.raises(ValueError, match=message):
        load_recordings(tmp_path)


def test_missing_columns_and_empty_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "votes.csv"
    path.write_text("qid,sid,answer,correct\n1,0,x,0\n")
    with pytest.raises(ValueError, match=r"votes\.csv:1: columns are missing: length"):
        load_recordings(tmp_path)
    path.write_text("qid,sid,length,answer,correct\n")
    with pytest.raises(ValueError, match=r"votes\.csv: no rows"):
        load_recordings(tmp_path)


@pytest.mark.parametrize("cell", ["1.5", "nan", "-0.1"])
def test_a_probability_above_one_is_refused(tmp_path: Path, cell: str) -> None:
    (tmp_path / "p.csv").write_text(PREFIXES.replace("0.25", cell))
    with pytest.raises(ValueError, match=r"p\.csv:3: bad pred_prob"):
        load_recordings(tmp_path)


def test_what_an_engine_samples_is_written_as_a_trace(tmp_path: Path) -> None:
    questions = [Question(f"q{n}", "sums", f"{n} + 1?", str(n + 1)) for n in range(3)]

    async def run() -> None:
        engine = SimulatedEngine(seed=1)
        with progress("test", len(questions)) as bar:
            recorded = await record(engine, questions, 4, bar)
        write(tmp_path / "sums.csv.gz", questions, recorded)

    asyncio.run(run())
    first = (tmp_path / "sums.csv.gz").read_bytes()
    (trace,) = load_recordings(tmp_path).votes
    assert [len(chains) for chains in trace.questions] == [4, 4, 4]
    assert all(chain.tokens > 0 for chains in trace.questions for chain in chains)
    assert first[4:8] == b"\0\0\0\0", "no time stamp"
