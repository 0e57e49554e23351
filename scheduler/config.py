"""The settings of servers. `docs/settings.md` is made of them."""

from dataclasses import fields, replace
from typing import Annotated, Any, Self

from pydantic import Field
from pydantic.dataclasses import dataclass

from policies.answer_spec import AnswerSpec
from policies.price import DEFAULT_PRICE
from scheduler.admission.access import AccessConfig
from scheduler.admission.limits import LimitsConfig
from scheduler.curves.feedback import FeedbackConfig
from scheduler.logs import LogLevel
from scheduler.model_config import (
    DRIVER_NAMES,
    ENGINE_KINDS,
    AccuracyPerToken,
    AnswerConfig,
    Duration,
    EngineConfig,
    ModelConfig,
    PolicyConfig,
    Positive,
    PriceConfig,
    RolloutConfig,
    ScalingConfig,
    VerifierConfig,
    VerifierKind,
    check_names,
    check_routes,
)
from scheduler.settings import STRICT, VALUE_OR_TABLE, Table, Value
from scheduler.store.settings import StoreConfig
from scheduler.tracing.settings import TracingConfig

__all__ = [
    "DRIVER_NAMES",
    "ENGINE_KINDS",
    "ONLY",
    "AccuracyPerToken",
    "AnswerConfig",
    "BatchesConfig",
    "EngineConfig",
    "ModelConfig",
    "PolicyConfig",
    "Positive",
    "PriceConfig",
    "RolloutConfig",
    "ScalingConfig",
    "ServeConfig",
    "VerifierConfig",
    "VerifierKind",
]

ONLY = ""
"""The name of the model where the settings name none."""


@dataclass(frozen=True, slots=True, config=STRICT)
class BatchesConfig:
    """OpenAI's /v1/files and /v1/batches; without this table they do not exist."""

    folder: str = Field(
        description="Where files and batches are kept; several gateways need shared storage."
    )
    concurrency: Positive = Field(default=16, description="Rows of one batch answered at once.")


@dataclass(frozen=True, slots=True, config=STRICT)
class ServeConfig:
    """The settings of a server: `thinkbudget serve --config FILE`."""

    engine: EngineConfig = Field(default_factory=EngineConfig)
    policy: PolicyConfig = Field(default_factory=PolicyConfig)
    verifier: VerifierConfig | None = Field(
        default=None,
        description="Rewards chains. Default: the embedded one for s1-pocket, else none.",
    )
    shadow: Annotated[Value[str | None] | Table[PolicyConfig], VALUE_OR_TABLE] = Field(
        default=None,
        description="A candidate that decides on every query beside the policy, spends nothing "
        "and is logged: a name, or a table of name and options.",
    )
    rollout: RolloutConfig | None = None
    price: Annotated[Value[AccuracyPerToken] | Table[PriceConfig], VALUE_OR_TABLE] = Field(
        default=DEFAULT_PRICE, description="Accuracy that one token must buy, or a table (below)."
    )
    answer_tokens: Positive = Field(
        default=512, description="Tokens reserved for the answer of a chain."
    )
    models: dict[str, ModelConfig] = Field(
        default_factory=dict,
        description="Several models by name, in the place of `engine` (docs/models.md).",
    )
    routes: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="Names that stand for several models, from small to large: the next one is "
        "asked where it pays (docs/models.md).",
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(
        default=8000, description="Port to listen on."
    )
    replicas: Positive = Field(default=1, description="Engines.")
    scaling: ScalingConfig | None = None
    gateways: Positive = Field(default=1, description="HTTP processes.")
    application: Annotated[str, Field(min_length=1)] = Field(
        default="thinkbudget", description="Name of the Ray Serve application."
    )
    log_level: LogLevel = Field(
        default="warning", description="What the processes log: from this level on."
    )
    drain_seconds: Duration = Field(
        default=30.0,
        description="Seconds that running requests get when the server or a replica leaves.",
    )
    outcomes: str | None = Field(
        default=None, description="Log every answered query, texts included, to this file."
    )
    outcomes_mib: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        default=1024.0, description="MiB at which the log of outcomes is set aside as FILE.1."
    )
    outcomes_files: Annotated[int, Field(ge=0)] = Field(
        default=10, description="Logs set aside that are kept; older ones are deleted."
    )
    curves: str | None = Field(default=None, description="Keep the learned curves in this file.")
    classes: str | None = Field(
        default=None,
        description="Fitted classes for queries that name none (`thinkbudget classes fit`).",
    )
    answers: dict[str, AnswerConfig] = Field(
        default_factory=dict, description="What answers are, by class."
    )
    store: StoreConfig = Field(default_factory=StoreConfig)
    tracing: TracingConfig = Field(default_factory=TracingConfig)
    batches: BatchesConfig | None = None
    live_page: bool = Field(
        default=True, description="Serve the live page at `/ui` (docs/live-page.md)."
    )
    feedback: FeedbackConfig = Field(default_factory=FeedbackConfig)
    access: AccessConfig = Field(default_factory=AccessConfig)
    limits: LimitsConfig = Field(default_factory=LimitsConfig)

    def __post_init__(self) -> None:
        if self.scaling is not None and self.scaling.max_replicas < self.replicas:
            raise ValueError(
                f"scaling.max_replicas is {self.scaling.max_replicas}, "
                f"below replicas, which is {self.replicas}"
            )
        self.access.require(self.host)
        if self.models:
            if self.engine != EngineConfig():
                raise ValueError("engine and models exclude each other: each model has its engine")
            check_names(self.models)
        check_routes(self.routes, self.models)

    def of_model(self, name: str) -> Self:
        """The settings of one of the models, as of a server of its own.

        What its table leaves out is as at the top.
        """
        model = self.models[name]
        own = {each.name: getattr(model, each.name) for each in fields(model)}
        own.pop("adapters")
        given = {key: value for key, value in own.items() if value is not None}
        return replace(self, models={}, routes={}, **given)

    @property
    def by_model(self) -> dict[str, Self]:
        """The settings of each model, as of a server of its own; a single one is called ONLY."""
        return {name: self.of_model(name) for name in self.models} or {ONLY: self}

    @property
    def pricing(self) -> PriceConfig:
        return self.price if isinstance(self.price, PriceConfig) else PriceConfig(self.price)

    @property
    def answer_specs(self) -> dict[str, AnswerSpec]:
        return {name: answer.spec for name, answer in self.answers.items()}

    @property
    def policy_options(self) -> dict[str, Any]:
        """The options of the server's own policy, its answer reserve filled in."""
        return self.filled(self.policy.options)

    @property
    def shadowed(self) -> PolicyConfig | None:
        """The candidate that only decides."""
        return PolicyConfig(self.shadow) if isinstance(self.shadow, str) else self.shadow

    def filled(self, options: dict[str, Any]) -> dict[str, Any]:
        """Options of a policy with the answer reserve."""
        return {"answer_tokens": self.answer_tokens} | options
