"""The token ids and labels of a training set, made once and read by every worker.

They lie in `OUT/examples` in the Arrow format, from where workers map them into memory. The only
importer of `datasets` here.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

import pyarrow as pa

from scheduler.progress import Progress, progress
from training.curate.manifest import file_hash
from training.sft.formatting import CutReport, Example, RowFormatter, report_cuts
from training.sft.rows import files_of, rows_of
from training.sft.settings import FineTuning

FILE = "examples.arrow"
ROWS_AT_ONCE = 64
SHOWN_ERRORS = 3
SCHEMA = pa.schema(
    [
        ("input_ids", pa.list_(pa.int32())),
        ("labels", pa.list_(pa.int32())),
        ("length", pa.int32()),
    ]
)


class Prepared(NamedTuple):
    """Where the examples lie, how many there are, their tokens, and what the block size cut.

    `hash` names the contents: the rows, the format and the tokenizer that they follow from.
    """

    folder: Path
    rows: int
    tokens: int
    cuts: CutReport
    hash: str


def prepare(settings: FineTuning, tokenizer: Any) -> Prepared:
    """Make the examples, unless they are there. Raises ValueError that names the bad rows."""
    folder = settings.examples
    wanted = _identity(settings, tokenizer)
    if (found := _found(folder, wanted)) is not None:
        return found
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    wrong: list[str] = []
    with ExamplesWriter(partial) as writer, progress("formatting rows", None) as bar:
        cuts = report_cuts(_written(_examples(settings, tokenizer, wrong, bar), settings, writer))
    try:
        _refuse(settings, cuts, wrong)
    except ValueError:
        shutil.rmtree(partial)
        raise
    prepared = Prepared(folder, writer.rows, writer.tokens, cuts, wanted)
    note = {"rows": prepared.rows, "tokens": prepared.tokens, "cuts": cuts, "hash": wanted}
    (partial / "prepared.json").write_text(json.dumps(note))
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return prepared


def _examples(
    settings: FineTuning, tokenizer: Any, wrong: list[str], bar: Progress
) -> Iterator[Example]:
    """The examples of all rows, cut to the block; `wrong` gets what is wrong with the others."""
    data = settings.data
    formatter = RowFormatter(tokenizer, settings.model.thinking_format, data.control)
    for row in rows_of(data):
        try:
            example = formatter.example(row.question, row.thinking, row.answer, data.max_length)
            if all(label < 0 for label in example.labels):
                raise ValueError(f"data.max_length {data.max_length} leaves nothing of the reply")
        except ValueError as error:
            wrong.append(f"{row.place}: {error}")
        else:
            yield example
        bar.advance()


def _written(
    examples: Iterator[Example], settings: FineTuning, writer: "ExamplesWriter"
) -> Iterator[Example]:
    for example in examples:
        if not example.cut or settings.data.long_rows == "cut":
            writer.write(example)
        yield example


def _refuse(settings: FineTuning, cuts: CutReport, wrong: list[str]) -> None:
    data = settings.data
    if wrong:
        rest = len(wrong) - SHOWN_ERRORS
        more = f"; and {rest} more" if rest > 0 else ""
        raise ValueError(
            f"{len(wrong)} rows cannot be trained: {'; '.join(wrong[:SHOWN_ERRORS])}{more}"
        )
    if not cuts.rows:
        raise ValueError(f"data.path {data.path!r} has no rows")
    if cuts.cut_rows and data.long_rows == "refuse":
        raise ValueError(
            f"{cuts.cut_rows} of {cuts.rows} rows are longer than data.max_length "
            f"{data.max_length}, the longest has {cuts.longest} tokens; raise it, or set "
            'data.long_rows to "cut" or "drop"'
        )
    if cuts.cut_rows == cuts.rows and data.long_rows == "drop":
        raise ValueError(f"data.max_length {data.max_length}: every row is longer")


class ExamplesWriter:
    """Writes examples to an Arrow stream; holds `ROWS_AT_ONCE` of them at most."""

    def __init__(self, folder: Path) -> None:
        self._file = pa.OSFile(str(folder / FILE), "wb")
        self._stream = pa.ipc.new_stream(self._file, SCHEMA)
        self._held: list[Example] = []
        self.rows = self.tokens = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._stream.close()
        self._file.close()

    def write(self, example: Example) -> None:
        self._held.append(example)
        self.rows += 1
        self.tokens += len(example.input_ids)
        if len(self._held) >= ROWS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        if self._held:
            ids, labels = [e.input_ids for e in self._held], [e.labels for e in self._held]
            columns = [ids, labels, [len(each) for each in ids]]
            arrays = [pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)]
            self._stream.write_batch(pa.record_batch(arrays, schema=SCHEMA))
            self._held = []


def load(folder: Path) -> Any:
    """The examples as a `datasets.Dataset`, mapped into memory."""
    import datasets

    return datasets.Dataset.from_file(str(folder / FILE))


def _identity(settings: FineTuning, tokenizer: Any) -> str:
    of = {
        "data": settings.identity["data"],
        "files": [file_hash(file) for file in files_of(Path(settings.data.path))],
        "format": settings.identity["model"]["format"],
        "vocabulary": sorted(tokenizer.get_vocab().items()),
        "template": tokenizer.chat_template,
    }
    return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()


def _found(folder: Path, wanted: str) -> Prepared | None:
    try:
        note = json.loads((folder / "prepared.json").read_text())
        if note["hash"] != wanted:
            return None
        return Prepared(folder, note["rows"], note["tokens"], CutReport(*note["cuts"]), wanted)
    except (OSError, ValueError, KeyError, TypeError):
        return None
