"""The settings of an experiment: `thinkbudget experiment run FILE` (docs/experiments.md)."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag
from pydantic.dataclasses import dataclass

from policies.answer_spec import Kind
from policies.base import Limits
from policies.price import DEFAULT_PRICE
from scheduler.config import (
    AccuracyPerToken,
    EngineConfig,
    PolicyConfig,
    Positive,
    PriceConfig,
    VerifierConfig,
)
from scheduler.experiments.grid import expanded
from scheduler.settings import STRICT, VALUE_OR_TABLE, Table, Value
from workers.models import POCKET

_LABEL = re.compile(r"[\w .=,+-]+")


@dataclass(frozen=True, slots=True, config=STRICT)
class JudgeConfig:
    """A language model that judges answers, behind any endpoint that speaks OpenAI's chat API."""

    url: str = Field(description="Its address, such as http://127.0.0.1:8000.")
    model: str = Field(description="The model's name there.")
    api_key_env: str = Field(
        default="OPENAI_API_KEY", description="The environment variable that holds its key."
    )


@dataclass(frozen=True, slots=True, config=STRICT)
class QuestionSet:
    """A set of questions with their right answers, by name or from a file."""

    name: str = Field(
        description="`AIME24`, `AIME25`, `MATH500`, `GPQA-Diamond`, `GSM8K`, `MMLU-Pro`, `pocket`, "
        "`simulated`, `recorded`, `reasoning-gym:TASK`, or a .jsonl, .csv or .parquet file."
    )
    path: str | None = Field(
        default=None, description="A local file with the columns of the named set, in its place."
    )
    limit: Positive | None = Field(
        default=None, description="So many questions, by turns of every class. Default: all."
    )
    seed: int = Field(
        default=0, description="Of the order of choices, and of questions that are made."
    )
    revision: str | None = Field(default=None, description="Of the data set on the hub.")
    kind: Kind | None = Field(
        default=None, description="What answers are (docs/answers.md). Default: the set's."
    )
    question_column: str | None = Field(default=None, description="Default: `question`.")
    answer_column: str | None = Field(default=None, description="Default: `answer`.")
    id_column: str | None = Field(default=None, description="Default: `id`, if there is one.")
    class_column: str | None = Field(default=None, description="Default: `class`, if any.")
    choices_column: str | None = Field(
        default=None, description="A list of choices; the answer is then the letter of one."
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Options of a task of reasoning-gym."
    )

    judge: JudgeConfig | None = Field(
        default=None, description="A language model grades the answers. Default: none does."
    )

    def __post_init__(self) -> None:
        if self.options and not self.name.startswith("reasoning-gym:"):
            raise ValueError(f"options are for reasoning-gym:TASK, not for {self.name!r}")

    @property
    def label(self) -> str:
        """Its name in results: that of the set, or of the file without folder and suffix."""
        name = self.name.removeprefix("reasoning-gym:")
        known = Path(name).stem if Path(name).suffix in (".jsonl", ".csv", ".parquet") else name
        return re.sub(r"[^\w.=,+-]", "_", known)


@dataclass(frozen=True, slots=True, config=STRICT)
class EndpointConfig:
    """A running thinkbudget server, asked over HTTP. The policies run there."""

    url: str = Field(description="Its address, such as http://127.0.0.1:8000.")
    model: str | None = Field(default=None, description="Default: the first that it lists.")
    api_key_env: str = Field(
        default="OPENAI_API_KEY", description="The environment variable that holds its key."
    )

    @property
    def kind(self) -> str:
        return "endpoint"


@dataclass(frozen=True, slots=True, config=STRICT)
class CompletionsConfig:
    """Any server with OpenAI's text completions, such as vLLM's own. The policies run here."""

    kind: Literal["completions"] = Field(description="`completions`.")
    url: str = Field(description="Its address, such as http://127.0.0.1:8000.")
    model: str | None = Field(default=None, description="Default: the first that it lists.")
    tokenizer: str | None = Field(
        default=None,
        description="The model's tokenizer: name on the hub, or folder. Default: the model's, by "
        "the folder or name that the server lists.",
    )
    format: str | None = Field(
        default=None,
        description="Name of the thinking format (docs/forcing.md). Default: by the tokenizer's "
        "name.",
    )
    max_model_len: Positive | None = Field(
        default=None, description="Context in tokens. Default: what the server lists."
    )
    api_key_env: str = Field(
        default="OPENAI_API_KEY", description="The environment variable that holds its key."
    )


@dataclass(frozen=True, slots=True, config=STRICT)
class DecisionLogConfig:
    """Logged decisions: nothing is asked, and policies are estimated (IPS, SNIPS, DR)."""

    decisions: str = Field(description="Log of outcomes of a server, those set aside included.")
    curves: str | None = Field(
        default=None,
        description="Learned curves to decide by, as the server keeps them.",
    )


AskedEngine = EngineConfig | EndpointConfig | CompletionsConfig


def _kind_of_engine(given: object) -> str:
    if isinstance(given, CompletionsConfig) or (
        isinstance(given, dict) and given.get("kind") == "completions"
    ):
        return "<completions>"
    for kind, tag, key in (
        (EndpointConfig, "<endpoint>", "url"),
        (DecisionLogConfig, "<log>", "decisions"),
    ):
        if isinstance(given, kind) or (isinstance(given, dict) and key in given):
            return tag
    return "<engine>"


_Engine = Annotated[
    Annotated[EngineConfig, Tag("<engine>")]
    | Annotated[EndpointConfig, Tag("<endpoint>")]
    | Annotated[CompletionsConfig, Tag("<completions>")]
    | Annotated[DecisionLogConfig, Tag("<log>")],
    Discriminator(_kind_of_engine),
]
_Set = Annotated[Value[str] | Table[QuestionSet], VALUE_OR_TABLE]


@dataclass(frozen=True, slots=True, config=STRICT)
class ExperimentConfig:
    """Engines x question sets x policies x seeds: `thinkbudget experiment run FILE`."""

    policies: Annotated[dict[str, dict[str, Any]], Field(min_length=1)] = Field(
        description="By a label of yours: `{policy = NAME, OPTION = VALUE, ...}`. A list of values "
        "makes one policy of each. NAME is one of docs/policies.md, or FILE.py:CLASS."
    )
    engine: _Engine | None = Field(
        default=None, description="The engine, where there is one only. Default: s1-pocket on vLLM."
    )
    engines: dict[str, _Engine] = Field(
        default_factory=dict, description="Several engines, by a label of yours."
    )
    verifier: VerifierConfig | None = Field(
        default=None,
        description="Rewards chains. Default: the engine's own, if it has one.",
    )
    questions: Annotated[Value[str] | Table[list[_Set]], VALUE_OR_TABLE] | None = Field(
        default=None,
        description="A set by its name or file, or a list of them, each a name or a table (below). "
        "Default: the engine's own questions.",
    )
    limit: Positive | None = Field(
        default=None, description="So many questions of each set. Default: all."
    )
    seeds: Positive = Field(default=1, description="Runs of every policy, each with another seed.")
    concurrency: Positive = Field(default=16, description="Questions asked at the same time.")
    price: Annotated[Value[AccuracyPerToken] | Table[PriceConfig], VALUE_OR_TABLE] = Field(
        default=DEFAULT_PRICE,
        description="Accuracy that one token must buy, or a table with a goal, such as "
        "`tokens_per_query`.",
    )
    max_total_tokens: Positive | None = Field(
        default=None, description="Tokens that one question may take at most."
    )
    target_accuracy: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="The cheapest plan that reaches this accuracy is taken."
    )
    labelled: Annotated[float, Field(ge=0, le=1)] = Field(
        default=1.0,
        description="Share of the questions whose right answer the policies may learn from.",
    )
    answer_tokens: Positive = Field(
        default=512, description="Tokens reserved for the answer of a chain."
    )
    outcomes: bool | None = Field(
        default=None,
        description="Keep the whole outcome of every question, which can be replayed. Default: "
        "that of engines on real hardware.",
    )

    def __post_init__(self) -> None:
        if self.engine is not None and self.engines:
            raise ValueError("engine and engines exclude each other")
        for kind, labels in (
            ("policies", self.named_policies),
            ("engines", self._all_engines),
            ("questions", self.question_sets),
        ):
            for label in labels:
                if not _LABEL.fullmatch(label) or label.startswith("."):
                    raise ValueError(
                        f"{kind}: {label!r} cannot be a file's name; letters, digits, and "
                        "spaces and any of . _ = , + - are allowed"
                    )

    @property
    def named_policies(self) -> dict[str, PolicyConfig]:
        """All policies by label, the grids spread."""
        return expanded(self.policies)

    @property
    def named_engines(self) -> dict[str, AskedEngine]:
        """The engines that are asked questions."""
        return {
            label: engine
            for label, engine in self._all_engines.items()
            if not isinstance(engine, DecisionLogConfig)
        }

    @property
    def decision_logs(self) -> dict[str, DecisionLogConfig]:
        return {
            label: engine
            for label, engine in self._all_engines.items()
            if isinstance(engine, DecisionLogConfig)
        }

    @property
    def _all_engines(self) -> dict[str, AskedEngine | DecisionLogConfig]:
        if self.engines:
            return dict(self.engines)
        engine = self.engine or EngineConfig()
        return {"log" if isinstance(engine, DecisionLogConfig) else engine.kind: engine}

    @property
    def question_sets(self) -> dict[str, QuestionSet]:
        """By label; none where every engine's own are asked."""
        given = [self.questions] if isinstance(self.questions, str) else self.questions or []
        found: dict[str, QuestionSet] = {}
        for each in given:
            one = QuestionSet(each) if isinstance(each, str) else each
            if one.label in found:
                raise ValueError(f"questions: {one.label!r} is there twice")
            found[one.label] = one
        return found

    def sets_of(self, engine: AskedEngine) -> dict[str, QuestionSet]:
        """The sets that an engine is asked, by label."""
        if found := self.question_sets:
            return found
        own = {"simulated": "simulated", "replayed": "recorded"}.get(engine.kind)
        if own is None and engine.kind == "vllm" and getattr(engine, "model", None) == POCKET:
            own = "pocket"
        if own is None:
            raise ValueError("questions is missing: this engine has none of its own")
        seed = engine.seed if isinstance(engine, EngineConfig) else 0
        return {own: QuestionSet(own, seed=seed)}

    @property
    def pricing(self) -> PriceConfig:
        return self.price if isinstance(self.price, PriceConfig) else PriceConfig(self.price)

    @property
    def limits(self) -> Limits:
        return Limits(self.max_total_tokens, target_accuracy=self.target_accuracy)
