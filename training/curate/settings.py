"""The settings of a curation: one TOML file, one table a stage."""

from dataclasses import field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field
from pydantic.dataclasses import dataclass

from scheduler.settings import STRICT, read_toml
from training.curate.msc import DOMAINS
from training.curate.sources import SOURCES, TEST_SETS

SetName = Literal["s1", "random", "diverse", "longest", "full"]
Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True, config=STRICT)
class Questions:
    """Where questions come from: a name of the table in `sources.py`, or a file of one's own.

    `path` is a Parquet or JSON Lines file with the columns of the named source; for a name that is
    not in the table the columns are `question` and `solution`, or those given here. An empty
    `solution` means that there is none.
    """

    name: str
    path: str | None = None
    question: str | None = None
    solution: str | None = None
    kind: str | None = None
    revision: str | None = None


@dataclass(frozen=True, slots=True, config=STRICT)
class Endpoint:
    """A model that is asked: behind `url`, or without one run in this process.

    With the engine "python" it is a program: `model` is "module:function", an async function from
    the body of a request to a chat completion.

    Prices are US dollars for a million tokens; 0 on hardware of one's own. `max_cost` in dollars
    ends a stage that has spent so much. `request` is added to the body of every request.
    """

    model: str
    prompt_price: Dollars
    completion_price: Dollars
    url: str | None = None
    max_tokens: Count = 32768
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    concurrency: Annotated[int, Field(ge=1, le=10_000)] = 16
    requests_per_minute: Rate | None = None
    max_cost: Dollars | None = None
    api_key_env: str = "OPENAI_API_KEY"
    engine: Literal["vllm", "simulated", "python"] = "vllm"
    request: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        reserved = {"model", "messages", "stream", "n"} & self.request.keys()
        if reserved:
            raise ValueError(f"request must not set {sorted(reserved)}")


# What changes no answer, and so no row.
NOT_HASHED = ("concurrency", "requests_per_minute", "max_cost", "api_key_env", "prompt_price",
              "completion_price", "url")  # fmt: skip


@dataclass(frozen=True, slots=True, config=STRICT)
class Decontaminate:
    tests: tuple[Questions, ...] = tuple(
        Questions(name=name) for name in TEST_SETS if name != "LiveCodeBench-v4"
    )


@dataclass(frozen=True, slots=True, config=STRICT)
class Dedup:
    """`threshold` is the Jaccard similarity of near-duplicates; 1 drops exact repeats only."""

    threshold: Share = 0.8
    permutations: Annotated[int, Field(ge=16, le=1024)] = 128


@dataclass(frozen=True, slots=True, config=STRICT)
class Traces:
    teacher: Endpoint


@dataclass(frozen=True, slots=True, config=STRICT)
class Quality:
    """`tokenizer` counts thinking tokens: a name on the hub, or a folder."""

    tokenizer: str = "Qwen/Qwen2.5-32B-Instruct"


@dataclass(frozen=True, slots=True, config=STRICT)
class Classify:
    """`domains` maps codes, with which replies end, to names."""

    classifier: Endpoint
    attempts: Annotated[int, Field(ge=1, le=10)] = 3
    domains: dict[str, str] = field(default_factory=lambda: dict(DOMAINS))

    def __post_init__(self) -> None:
        if not self.domains or not all(self.domains):
            raise ValueError(f"domains must have codes that are not empty, got {self.domains}")


@dataclass(frozen=True, slots=True, config=STRICT)
class Difficulty:
    """A question that one of `models` answers rightly is too easy.

    Without a `judge`, an answer is right if it equals that of the solution (`workers/answers`).
    """

    models: dict[str, Endpoint]
    judge: Endpoint | None = None

    def __post_init__(self) -> None:
        if not self.models:
            raise ValueError("models must name at least one model, got {}")


@dataclass(frozen=True, slots=True, config=STRICT)
class Select:
    """`preselect` maps sources to thinking tokens: right traces that are longer are all taken."""

    sets: tuple[SetName, ...] = ("s1",)
    size: Count = 1000
    uniform_until: Annotated[int, Field(ge=0)] = 700
    seed: Annotated[int, Field(ge=0)] = 0
    benchmarks: tuple[str, str] = ("GPQA", "AIME")
    preselect: dict[str, int] = field(default_factory=lambda: {"GPQA": 0, "AIME": 0, "MATH": 5600})


@dataclass(frozen=True, slots=True, config=STRICT)
class Curation:
    """All of it. Stages whose table is missing cannot run; the others can.

    `hub` is a folder that holds copies of data sets of the hub, each at OWNER/NAME; it is read
    instead of the hub.
    """

    out: str
    sources: tuple[Questions, ...]
    hub: str | None = None
    decontaminate: Decontaminate = Decontaminate()
    dedup: Dedup = Dedup()
    traces: Traces | None = None
    quality: Quality = Quality()
    classify: Classify | None = None
    difficulty: Difficulty | None = None
    select: Select = Select()

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("sources must have at least one table")
        _check_names("sources", self.sources, SOURCES)
        _check_names("decontaminate.tests", self.decontaminate.tests, TEST_SETS)
        if self.hub is not None and any(each.revision for each in self.sources):
            raise ValueError("hub is a folder, which has no revision; remove sources.revision")

    @property
    def folder(self) -> Path:
        return Path(self.out)


def _check_names(place: str, given: tuple[Questions, ...], table: dict[str, Any]) -> None:
    seen: set[str] = set()
    for at, each in enumerate(given):
        if each.name in seen:
            raise ValueError(f"{place}.{at}.name {each.name!r} comes twice")
        seen.add(each.name)
        if each.name not in table and each.path is None:
            known = ", ".join(table)
            raise ValueError(
                f"{place}.{at}.name {each.name!r} is none of {known}, and there is no path"
            )


def read_settings(path: Path) -> Curation:
    """The settings of a file, whose paths begin at its folder. Raises ValueError."""
    settings = read_toml(path, Curation)

    def all_placed(each: tuple[Questions, ...]) -> tuple[Questions, ...]:
        return tuple(
            replace(one, path=None if one.path is None else str(path.parent / one.path))
            for one in each
        )

    tests = replace(settings.decontaminate, tests=all_placed(settings.decontaminate.tests))
    return replace(
        settings,
        out=str(path.parent / settings.out),
        hub=None if settings.hub is None else str(path.parent / settings.hub),
        sources=all_placed(settings.sources),
        decontaminate=tests,
    )


SET_NAMES: tuple[str, ...] = get_args(SetName)
