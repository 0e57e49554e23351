"""The settings of a fine-tuning: one TOML file. The defaults are those of s1 (its appendix D)."""

from dataclasses import asdict, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from scheduler.settings import STRICT, VALUE_OR_TABLE, Table, Value, read_toml
from training.sft.formatting import Control
from workers.format import ThinkingFormat, named_format
from workers.models import POCKET, locate, thinking_format

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]
Precision = Literal["bf16", "fp32"]


@dataclass(frozen=True, slots=True, config=STRICT)
class Model:
    """The model to begin with: s1-pocket, a folder, or a name on the hub.

    `format` is its thinking format, a name or a table of delimiters; the default is the one that
    serving would take for it.
    """

    name: str
    revision: str | None = None
    format: Annotated[Value[str | None] | Table[ThinkingFormat], VALUE_OR_TABLE] = None
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"

    @property
    def place(self) -> dict[str, str]:
        """Where `from_pretrained` finds it. Raises ValueError for a folder that is no model."""
        place = {"pretrained_model_name_or_path": locate(self.name)}
        return place if self.revision is None else {**place, "revision": self.revision}

    @property
    def thinking_format(self) -> ThinkingFormat:
        if isinstance(self.format, ThinkingFormat):
            return self.format
        return thinking_format(self.name) if self.format is None else named_format(self.format)


@dataclass(frozen=True, slots=True, config=STRICT)
class Data:
    """The rows: a folder of Parquet parts, a Parquet file or a JSON Lines file, and its columns.

    `max_length` in tokens is the block size. A longer row is refused, or `long_rows` says that it
    is cut there, or left out.
    """

    path: str
    question: str = "question"
    thinking: str = "thinking"
    answer: str = "attempt"
    control: Control = "none"
    max_length: Annotated[int, Field(ge=8)] = 32768
    long_rows: Literal["refuse", "cut", "drop"] = "refuse"


@dataclass(frozen=True, slots=True, config=STRICT)
class Training:
    """AdamW at a learning rate that warms up linearly and falls to 0 by a cosine.

    `batch_size` rows make a step, whatever the number of workers; each worker takes
    `micro_batch_size` of them at once. `warmup` is a share of all steps. `save_steps` and
    `log_steps` are steps between checkpoints and between log lines.
    """

    epochs: Annotated[float, Field(gt=0, le=1000)] = 5
    batch_size: Count = 16
    micro_batch_size: Count = 1
    learning_rate: Positive = 1e-5
    warmup: Share = 0.05
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-4
    beta1: Share = 0.9
    beta2: Share = 0.95
    max_grad_norm: Positive = 1.0
    precision: Precision = "bf16"
    gradient_checkpointing: bool = True
    group_by_length: bool = False
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 0
    save_steps: Count = 100
    keep_checkpoints: Annotated[int, Field(ge=2)] = 2
    log_steps: Count = 1


@dataclass(frozen=True, slots=True, config=STRICT)
class Parallel:
    """How the work is spread: one worker is one GPU, or with `gpu = false` so many CPU cores.

    `zero_stage` is DeepSpeed's: 1 shares optimizer states among the workers, 2 gradients too, 3
    parameters too; 0 shares nothing, which is fastest for one worker. `offload` keeps optimizer
    states in the memory of the CPU. `deepspeed` is merged into DeepSpeed's configuration. Workers
    that die are started anew, from the last checkpoint, up to `max_failures` times.
    """

    workers: Count = 1
    gpu: bool = True
    cpus_per_worker: Count = 1
    zero_stage: Literal[0, 1, 2, 3] = 2
    offload: bool = False
    max_failures: Annotated[int, Field(ge=0)] = 3
    deepspeed: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, config=STRICT)
class FineTuning:
    """All of it. `out` is a folder that every worker can write: on a cluster, shared storage."""

    out: str
    model: Model
    data: Data
    training: Training = Training()
    parallel: Parallel = Parallel()

    def __post_init__(self) -> None:
        rows, batch = self.micro_rows, self.training.batch_size
        if batch % rows:
            raise ValueError(
                f"training.batch_size {batch} must be a multiple of workers times "
                f"micro_batch_size, {self.parallel.workers} x {self.training.micro_batch_size} = "
                f"{rows}"
            )
        if isinstance(self.model.format, str):
            named_format(self.model.format)
        if self.parallel.offload and not self.parallel.gpu:
            raise ValueError("parallel.offload needs GPUs, and parallel.gpu is false")

    @property
    def micro_rows(self) -> int:
        """Rows that all workers take at once."""
        return self.parallel.workers * self.training.micro_batch_size

    @property
    def accumulation(self) -> int:
        """How many times a worker takes rows for one step."""
        return self.training.batch_size // self.micro_rows

    @property
    def folder(self) -> Path:
        return Path(self.out)

    @property
    def examples(self) -> Path:
        """Token ids and labels of all rows."""
        return self.folder / "examples"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def metrics(self) -> Path:
        """A JSON line for every log step."""
        return self.folder / "metrics.jsonl"

    @property
    def trained(self) -> Path:
        """The folder of the trained model."""
        return self.folder / "model"

    @property
    def identity(self) -> dict[str, Any]:
        """What the trained weights follow from. How the work is spread is not of it."""
        training = asdict(self.training)
        for name in ("micro_batch_size", "save_steps", "keep_checkpoints", "log_steps"):
            del training[name]
        data = asdict(self.data)
        del data["path"]
        model = {**asdict(self.model), "format": asdict(self.model.thinking_format)}
        return {"model": model, "data": data, "training": training}


def read_settings(path: Path) -> FineTuning:
    """The settings of a file, whose paths begin at its folder. Raises ValueError."""
    settings = read_toml(path, FineTuning)
    # Whole paths: workers run in folders of their own.
    here, model = path.parent.resolve(), settings.model
    if model.name != POCKET and (here / model.name).is_dir():
        model = replace(model, name=str(here / model.name))
    return replace(
        settings,
        out=str(here / settings.out),
        model=model,
        data=replace(settings.data, path=str(here / settings.data.path)),
    )
