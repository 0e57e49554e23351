"""The paper's data ablation in small (s1, Tables 2 and 7): from a pool to measured models.

Stages, each skipped if it is done: write the pool; curate it (`thinkbudget curate`); fine-tune
s1-pocket on every set (`thinkbudget train sft`), and again with rows cut at a small block size;
measure every model on the held-out questions; write tables and a picture. What is heavy runs in
processes of its own.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from training.pocket.comparison import block_table, class_table, waits_table
from training.pocket.measure import CLASS_QUESTIONS, Measured, read_measured
from training.pocket.picture import plot_models
from training.pocket.pool import write_pool
from training.pocket.study_files import SETS, curation, fine_tuning
from training.sft.formatting import RowFormatter
from workers.format import S1
from workers.models import POCKET_FOLDER

BASE = "base"
CUT_SHARE = 0.74
"""The share of rows that the small block cuts (s1, Table 7)."""
CUT_SETS = ("s1", "longest")
"""Sets whose rows are long enough for that: of the others, some questions alone would not fit."""


class Variant(NamedTuple):
    """A model of the study: the set it learns, and whether its rows are cut."""

    rows: str
    is_cut: bool = False

    @property
    def name(self) -> str:
        return f"{self.rows}-cut" if self.is_cut else self.rows


VARIANTS = (*(Variant(rows) for rows in SETS), *(Variant(rows, True) for rows in CUT_SETS))


@dataclass(frozen=True, slots=True)
class Study:
    """All that decides what comes out, beside the code."""

    folder: Path
    seed: int = 0
    pool: int = 2000
    size: int = 300
    questions: int = CLASS_QUESTIONS
    epochs: int = 5
    learning_rate: float = 1e-3

    def run(self, tell: Callable[[str], None] = print) -> str:
        """Every stage that is not done. Returns the tables as Markdown."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.curate()
        for variant in VARIANTS:
            tell(f"{variant.name}: fine-tuning")
            self.fine_tune(variant)
        tell("measuring")
        self.measure()
        return self.report()

    def curate(self) -> None:
        pool = self.folder / "pool.jsonl"
        write_pool(pool, self.pool, self.seed)
        path = self.folder / "curation.toml"
        path.write_text(curation(self.size, self.seed))
        self._run("thinkbudget", "curate", "all", path.name, "--in-process", "--yes")

    def fine_tune(self, variant: Variant) -> None:
        """Nothing, if the same settings have made the model already."""
        path, model = self.folder / f"{variant.name}.toml", self.model(variant.name)
        settings = fine_tuning(
            variant.name,
            variant.rows,
            learning_rate=self.learning_rate,
            epochs=self.epochs,
            seed=self.seed,
            block=self.block(variant.rows) if variant.is_cut else None,
        )
        if not path.exists() or path.read_text() != settings:
            shutil.rmtree(model.parent, ignore_errors=True)
            self._measured(variant.name).unlink(missing_ok=True)
            thoughts = f"{variant.name}-{self.questions}"
            shutil.rmtree(self.folder / "measured" / "unfinished" / thoughts, ignore_errors=True)
            path.write_text(settings)
        if not model.exists():
            self._run("thinkbudget", "train", "sft", path.name, "--in-process")

    def block(self, rows: str) -> int:
        """The block size in tokens that cuts CUT_SHARE of a set's rows."""
        lengths = sorted(self.lengths(rows))
        return lengths[int((1 - CUT_SHARE) * len(lengths))]

    def lengths(self, rows: str) -> Iterator[int]:
        import transformers
        from pyarrow import parquet

        formatter = RowFormatter(transformers.AutoTokenizer.from_pretrained(POCKET_FOLDER), S1)
        for path in sorted((self.folder / "curated" / f"select-{rows}").glob("part-*.parquet")):
            table: pa.Table = parquet.read_table(path)
            for row in table.to_pylist():
                example = formatter.example(row["question"], row["thinking"], row["attempt"])
                yield len(example.input_ids)

    def measure(self) -> None:
        models = [f"{name}={self.model(name).absolute()}" for name in self.names()]
        more = ["-o", "measured", "--questions", str(self.questions)]
        self._run("training.pocket.measure", *models, *more)

    def report(self) -> str:
        models = {name: read_measured(self._measured(name)) for name in self.names()}
        plot_models(models, self.folder / "study.png")
        text = report(models)
        (self.folder / "study.md").write_text(text)
        return text

    def names(self) -> list[str]:
        return [BASE, *(variant.name for variant in VARIANTS)]

    def model(self, name: str) -> Path:
        return POCKET_FOLDER if name == BASE else self.folder / "models" / name / "model"

    def _measured(self, name: str) -> Path:
        return self.folder / "measured" / f"{name}.json"

    def _run(self, module: str, *arguments: str) -> None:
        """Raises CalledProcessError; what the process says is shown as it comes."""
        subprocess.run([sys.executable, "-m", module, *arguments], cwd=self.folder, check=True)


def report(models: dict[str, Measured]) -> str:
    """The tables of the study, as docs/training.md has them."""
    whole = {name: measured for name, measured in models.items() if not name.endswith("-cut")}
    pairs = [(rows, f"{rows}-cut") for rows in CUT_SETS]
    parts = [waits_table(models), class_table(whole, "s1"), block_table(models, pairs)]
    return "\n\n".join(parts) + "\n"
