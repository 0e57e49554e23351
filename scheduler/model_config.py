"""The settings of one model: its engines, policy, price and answers."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import Field
from pydantic.dataclasses import dataclass

from policies.answer_spec import AnswerSpec, Kind
from policies.price import DEFAULT_PRICE, Price
from policies.shares import Shares
from scheduler.settings import STRICT, VALUE_OR_TABLE, Table, Value
from workers.format import ThinkingFormat
from workers.vllm.engine_arguments import check_arguments

VerifierKind = Literal["pocket", "pooling", "score", "simulated"]
EngineKind = Literal["vllm", "simulated", "replayed"]
DriverName = Literal["session", "reprompt"]
ENGINE_KINDS: tuple[str, ...] = get_args(EngineKind)
DRIVER_NAMES: tuple[str, ...] = get_args(DriverName)

Duration = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveSeconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Positive = Annotated[int, Field(ge=1)]
AccuracyPerToken = Annotated[float, Field(gt=0, lt=1)]


@dataclass(frozen=True, slots=True, config=STRICT)
class EngineConfig:
    """Which model runs, and how."""

    kind: EngineKind = Field(default="vllm", description="What runs chains.")
    model: str = Field(default="s1-pocket", description="Name on the hub, or folder.")
    format: Annotated[Value[str | None] | Table[ThinkingFormat], VALUE_OR_TABLE] = Field(
        default=None,
        description="Thinking format: a name, or a table of its delimiters (docs/forcing.md). "
        "Default: by the model's name.",
    )
    driver: DriverName = Field(
        default="session", description="How chains are forced (docs/forcing.md)."
    )
    watchdog_seconds: PositiveSeconds = Field(
        default=30.0,
        description="An engine that has work and is silent for so many seconds is replaced; "
        "the time to read long prompts, by the speed measured, comes on top.",
    )
    max_model_len: Positive | None = Field(
        default=None, description="Context in tokens. Default: the model's."
    )
    max_num_seqs: Positive = Field(default=64, description="Chains that one engine runs at once.")
    tensor_parallel_size: Positive = Field(default=1, description="GPUs of one engine.")
    gpus: Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="GPUs reserved for one engine. Default: `tensor_parallel_size`, if any.",
    )
    kv_cache_gib: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, description="KV cache in GiB. Default: 1 on CPUs, all free memory on GPUs."
    )
    vllm: dict[str, Any] = Field(
        default_factory=dict,
        description="Further engine arguments of vLLM's own, such as `quantization` "
        "(docs/serving.md).",
    )
    recording: str | None = Field(
        default=None,
        description="Outcome log that a `replayed` engine draws from. In experiments also what a "
        "`simulated` population is fitted to.",
    )
    seed: int = Field(default=0, description="Of the simulated engine.")

    def __post_init__(self) -> None:
        if self.kind == "replayed" and self.recording is None:
            raise ValueError("recording must name an outcome log when kind is 'replayed'")
        if self.vllm and self.kind != "vllm":
            raise ValueError(f"vllm holds arguments of vLLM, but kind is {self.kind!r}")
        check_arguments(self.vllm)


@dataclass(frozen=True, slots=True, config=STRICT)
class PolicyConfig:
    """A policy and its options."""

    name: str = Field(default="priced", description="One of docs/policies.md.")
    options: dict[str, Any] = Field(default_factory=dict, description="The policy's options.")


@dataclass(frozen=True, slots=True, config=STRICT)
class VerifierConfig:
    """What rewards chains, for the policies that read rewards (docs/policies.md)."""

    kind: VerifierKind = Field(
        description="`pocket` is the embedded one of s1-pocket. `pooling` and `score` are a reward "
        "model behind HTTP, by the route of vLLM's that it is asked at."
    )
    url: str | None = Field(default=None, description="Address of the reward model's server.")
    model: str | None = Field(default=None, description="The reward model's name there.")
    api_key_env: str = Field(
        default="OPENAI_API_KEY", description="The environment variable that holds its key."
    )
    step_separator: Annotated[str, Field(min_length=1)] = Field(
        default="<extra_0>", description="Of `pooling`: ends every step, as the model was trained."
    )
    right_index: Annotated[int, Field(ge=0)] = Field(
        default=1, description="Of `pooling`: which number of a step is its reward, from 0."
    )
    timeout_seconds: PositiveSeconds = Field(default=60.0, description="Of one request.")
    auc: Annotated[float, Field(ge=0.5, lt=1)] = Field(
        default=0.8, description="Of `simulated`: area under its ROC curve."
    )

    def __post_init__(self) -> None:
        if self.kind not in ("pooling", "score"):
            return
        for name in ("url", "model"):
            if getattr(self, name) is None:
                raise ValueError(f"{name} must be set when kind is {self.kind!r}")
        if not (self.url or "").startswith(("http://", "https://")):
            raise ValueError(f"url must begin with http:// or https://, got {self.url!r}")


@dataclass(frozen=True, slots=True, config=STRICT)
class RolloutConfig:
    """A candidate that answers a share of the server's own queries (docs/experiments.md)."""

    name: str = Field(description="The candidate: one of docs/policies.md, or FILE.py:CLASS.")
    share: Annotated[float, Field(gt=0, lt=1)] = Field(
        description="Share of the queries that name no policy. One session has one policy."
    )
    options: dict[str, Any] = Field(default_factory=dict, description="The candidate's options.")


@dataclass(frozen=True, slots=True, config=STRICT)
class PriceConfig:
    """The accuracy that one token must buy: fixed, or steered to one goal."""

    per_token: AccuracyPerToken | None = Field(
        default=None, description="Accuracy per token. With a goal: where the price begins."
    )
    tokens_per_query: float | None = Field(
        default=None, description="Goal: mean tokens of a query."
    )
    accuracy: float | None = Field(
        default=None, description="Goal: share of right answers, 0 to 1."
    )
    load: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=0.0,
        description="How much busy engines raise the price: 0.5 adds half of it at 29 % use.",
    )
    round_tokens: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=0.0, description="Tokens that a query may waste to save one round of sampling."
    )
    shares: dict[str, float] = Field(
        default_factory=dict, description="Weights of tenants; above its share a tenant pays more."
    )

    def __post_init__(self) -> None:
        if self.tokens_per_query is not None and self.accuracy is not None:
            raise ValueError("tokens_per_query and accuracy exclude each other")
        Shares(self.shares)
        self.price()

    def price(self) -> Price:
        """Where the price begins, and what steers it."""
        if self.tokens_per_query is not None:
            return Price.for_tokens(self.tokens_per_query, self.per_token)
        if self.accuracy is not None:
            return Price.for_accuracy(self.accuracy, self.per_token)
        return Price(DEFAULT_PRICE if self.per_token is None else self.per_token)


@dataclass(frozen=True, slots=True, config=STRICT)
class ScalingConfig:
    """Adds engines, from `replicas` up, while each has much pending work."""

    max_replicas: Positive = Field(description="The most engines.")
    tokens_per_replica: Positive = Field(
        default=100_000,
        description="Tokens of pending work for each engine, beyond which one is added.",
    )
    up_seconds: Duration = Field(
        default=10.0, description="For so long more engines must be needed."
    )
    down_seconds: Duration = Field(
        default=300.0, description="For so long fewer engines must be needed."
    )
    report_seconds: PositiveSeconds = Field(
        default=10.0,
        description="Engines report their pending work so often; three reports are averaged.",
    )


@dataclass(frozen=True, slots=True, config=STRICT)
class AnswerConfig:
    """What the answers of one class are, where a request does not say (docs/requests.md)."""

    kind: Kind = Field(default="auto", description="How answers are read and compared.")
    choices: tuple[str, ...] = Field(
        default=(), description="Of a multiple choice: the texts of A, B, C..., or the letters."
    )
    pattern: str | None = Field(
        default=None,
        description="A regular expression: its last match, or the group in it, is the answer.",
    )

    def __post_init__(self) -> None:
        _ = self.spec

    @property
    def spec(self) -> AnswerSpec:
        return AnswerSpec(self.kind, self.choices, self.pattern)


@dataclass(frozen=True, slots=True, config=STRICT)
class ModelConfig:
    """One of several models behind an endpoint (docs/models.md).

    What it leaves out is as at the top of the file.
    """

    engine: EngineConfig
    adapters: dict[str, str] = Field(
        default_factory=dict,
        description="LoRA adapters of the model: the folder of each, by the name that requests "
        "give as `model`.",
    )
    policy: PolicyConfig | None = None
    verifier: VerifierConfig | None = None
    shadow: Annotated[Value[str | None] | Table[PolicyConfig], VALUE_OR_TABLE] = Field(
        default=None, description="A candidate that only decides: a name, or a table."
    )
    price: Annotated[Value[AccuracyPerToken | None] | Table[PriceConfig], VALUE_OR_TABLE] = Field(
        default=None, description="Accuracy that one token must buy, or a table."
    )
    answer_tokens: Positive | None = Field(
        default=None, description="Tokens reserved for the answer of a chain."
    )
    replicas: Positive | None = Field(default=None, description="Engines.")
    scaling: ScalingConfig | None = None
    classes: str | None = Field(
        default=None, description="Fitted classes for queries that name none."
    )
    answers: dict[str, AnswerConfig] | None = Field(
        default=None, description="What answers are, by class."
    )


def check_routes(routes: Mapping[str, tuple[str, ...]], models: Mapping[str, ModelConfig]) -> None:
    """Raise ValueError for a route that does not lead to models."""
    known = {*models, *(name for each in models.values() for name in each.adapters)}
    for route, names in routes.items():
        if not route or route in known or set(route) & set("@ "):
            raise ValueError(f"routes.{route}: a route has a name of its own, without @ and spaces")
        if not names:
            raise ValueError(f"routes.{route} names no model")
        for name in names:
            if name not in known:
                raise ValueError(f"routes.{route} names {name!r}, which is none of the models")


def check_names(models: Mapping[str, ModelConfig]) -> None:
    """Raise ValueError for a name of a model or adapter that requests could not give."""
    taken: set[str] = set()
    for model, config in models.items():
        for place, name in [
            (f"models.{model}", model),
            *((f"models.{model}.adapters.{adapter}", adapter) for adapter in config.adapters),
        ]:
            if not name or not name.isprintable() or set(name) & set("@ "):
                raise ValueError(f"{place}: a name has no @ and no space in it, got {name!r}")
            if name in taken:
                raise ValueError(f"{place}: there is another model or adapter {name!r}")
            taken.add(name)
