"""Settings: frozen dataclasses, read from one TOML file or from the command line's flags."""

import difflib
import math
import tomllib
import types
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from policies.price import DEFAULT_PRICE, Price
from policies.shares import Shares
from scheduler.admission.access import AccessConfig
from scheduler.admission.limits import LimitsConfig
from scheduler.curves.feedback import FeedbackConfig
from workers.format import ThinkingFormat

T = TypeVar("T")
ENGINE_KINDS = ("vllm", "simulated", "replayed")
DRIVER_NAMES = ("session", "reprompt")


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """`recording` is the outcome log that a replayed engine draws from.

    `format` is the name of a thinking format, or a table that spells one out (`name`, `start`,
    `stops`, ...); None is the one that the model's name suggests. `driver` is how chains are forced
    (workers/drivers.py). An engine that has work and is silent for `watchdog_seconds` is replaced.
    It takes `gpus` GPUs; None: `tensor_parallel_size` of them, if the cluster has any.
    """

    kind: str = "vllm"
    model: str = "s1-pocket"
    format: str | ThinkingFormat | None = None
    driver: str = "session"
    watchdog_seconds: float = 30.0
    max_model_len: int | None = None
    max_num_seqs: int = 64
    tensor_parallel_size: int = 1
    gpus: int | None = None
    kv_cache_gib: float | None = None
    recording: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in ENGINE_KINDS:
            raise ValueError(f"kind must be one of {', '.join(ENGINE_KINDS)}, got {self.kind!r}")
        if self.kind == "replayed" and self.recording is None:
            raise ValueError("recording must name an outcome log when kind is 'replayed'")
        for name in ("max_model_len", "max_num_seqs", "tensor_parallel_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value!r}")
        if self.gpus is not None and self.gpus < 0:
            raise ValueError(f"gpus must be 0 or more, got {self.gpus!r}")
        if self.driver not in DRIVER_NAMES:
            raise ValueError(
                f"driver must be one of {', '.join(DRIVER_NAMES)}, got {self.driver!r}"
            )
        for name in ("kv_cache_gib", "watchdog_seconds"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive, got {value!r}")


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    name: str = "priced"
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PriceConfig:
    """The accuracy that one token must buy: `per_token`, or whatever holds the one goal given.

    Goals: mean tokens of a query, or the share of right answers. With one, `per_token` is where the
    price begins. `load` is how many times the first price is added
    on engines in use by 29 % (it grows without bound with use); `shares` are weights of tenants.
    `round_tokens` is how many tokens it is worth not to wait for one more round of votes: what a
    second is worth, times the seconds that a chain takes.
    """

    per_token: float | None = None
    tokens_per_query: float | None = None
    accuracy: float | None = None
    load: float = 0.0
    round_tokens: float = 0.0
    shares: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.per_token is not None and not 0 < self.per_token < 1:
            raise ValueError(f"per_token must be in (0, 1), got {self.per_token!r}")
        if self.tokens_per_query is not None and self.accuracy is not None:
            raise ValueError("tokens_per_query and accuracy exclude each other")
        for name in ("load", "round_tokens"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be finite and >= 0, got {getattr(self, name)!r}")
        Shares(self.shares)
        self.price()

    def price(self) -> Price:
        """Where the price begins, and what steers it."""
        if self.tokens_per_query is not None:
            return Price.for_tokens(self.tokens_per_query, self.per_token)
        if self.accuracy is not None:
            return Price.for_accuracy(self.accuracy, self.per_token)
        return Price(DEFAULT_PRICE if self.per_token is None else self.per_token)


@dataclass(frozen=True, slots=True)
class ScalingConfig:
    """From `replicas` up to `max_replicas` engines, so that none owes more tokens than its goal.

    Engines report every `report_seconds`; what they owe is averaged over three reports, and must
    ask for more engines for `up_seconds`, for fewer for `down_seconds`.
    """

    max_replicas: int
    tokens_per_replica: int = 100_000
    up_seconds: float = 10.0
    down_seconds: float = 300.0
    report_seconds: float = 10.0

    def __post_init__(self) -> None:
        for name in ("max_replicas", "tokens_per_replica"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)!r}")
        for name in ("up_seconds", "down_seconds"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)!r}")
        if not 0 < self.report_seconds < math.inf:
            raise ValueError(f"report_seconds must be positive, got {self.report_seconds!r}")


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """`price`, if it is a number, is a fixed one; `curves` is where they are kept.

    `classes` is a file of fitted query classes, for queries that declare none. Engines and
    gateways that leave get `drain_seconds` to finish what runs.
    """

    engine: EngineConfig = field(default_factory=EngineConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    price: float | PriceConfig = DEFAULT_PRICE
    answer_tokens: int = 512
    host: str = "127.0.0.1"
    port: int = 8000
    replicas: int = 1
    scaling: ScalingConfig | None = None
    gateways: int = 1
    application: str = "thinkbudget"
    drain_seconds: float = 30.0
    outcomes: str | None = None
    curves: str | None = None
    classes: str | None = None
    feedback: FeedbackConfig = field(default_factory=FeedbackConfig)
    access: AccessConfig = field(default_factory=AccessConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)

    def __post_init__(self) -> None:
        if not isinstance(self.price, PriceConfig) and not 0 < self.price < 1:
            raise ValueError(f"price must be in (0, 1), got {self.price!r}")
        if not 0 < self.port < 65536:
            raise ValueError(f"port must be between 1 and 65535, got {self.port!r}")
        for name in ("answer_tokens", "replicas", "gateways"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)!r}")
        if self.scaling is not None and self.scaling.max_replicas < self.replicas:
            raise ValueError(
                f"scaling.max_replicas is {self.scaling.max_replicas}, "
                f"below replicas, which is {self.replicas}"
            )
        if not 0 <= self.drain_seconds < math.inf:
            raise ValueError(f"drain_seconds must be 0 or more, got {self.drain_seconds!r}")

        self.access.require(self.host)

    @property
    def pricing(self) -> PriceConfig:
        return self.price if isinstance(self.price, PriceConfig) else PriceConfig(self.price)

    @property
    def policy_options(self) -> dict[str, Any]:
        """The options of the server's own policy, its answer reserve filled in."""
        return {"answer_tokens": self.answer_tokens} | self.policy.options


@dataclass(frozen=True, slots=True)
class ExperimentConfig:
    """Policies x seeds over a question set (JSON lines; `questions=None`: the engine's own).

    `labelled` is the share of queries whose right answer the policies may learn from.
    """

    policies: dict[str, PolicyConfig]
    engine: EngineConfig = field(default_factory=EngineConfig)
    questions: str | None = None
    count: int | None = None
    seeds: int = 1
    concurrency: int = 16
    price: float = DEFAULT_PRICE
    labelled: float = 1.0
    answer_tokens: int = 512

    def __post_init__(self) -> None:
        if not self.policies:
            raise ValueError("policies must name at least one policy")
        for name in ("seeds", "concurrency", "answer_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)!r}")
        if self.count is not None and self.count < 1:
            raise ValueError(f"count must be at least 1, got {self.count!r}")
        if not 0 <= self.labelled <= 1:
            raise ValueError(f"labelled must be in [0, 1], got {self.labelled!r}")
        if not 0 < self.price < 1:
            raise ValueError(f"price must be in (0, 1), got {self.price!r}")


def read_table(path: Path) -> dict[str, Any]:
    """The table of a TOML file. Raises ValueError that names the file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path}: {error}") from None


def read_toml(path: Path, kind: type[T]) -> T:
    """Settings of the given kind from a TOML file; ValueErrors name the key and the value."""
    table = read_table(path)
    try:
        return from_table(kind, table)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def from_table(kind: type[T], table: dict[str, Any], place: str = "") -> T:
    """Build a settings dataclass from a TOML table, checking keys and types on the way."""
    hints = get_type_hints(kind)
    known = [item.name for item in fields(kind)]  # type: ignore[arg-type]
    values = {}
    for key, value in table.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
            raise ValueError(f"key {place}{key!r} is not known; did you mean {near[0]!r}?")
        values[key] = _value(hints[key], value, f"{place}{key}")
    missing = [
        item.name
        for item in fields(kind)  # type: ignore[arg-type]
        if item.name not in values and item.default is item.default_factory
    ]
    if missing:
        raise ValueError(f"key {place}{missing[0]!r} is missing")
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{place}{error}") from None


def _value(hint: Any, value: Any, place: str) -> Any:
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    for option in options:
        if is_dataclass(option) and isinstance(option, type) and isinstance(value, dict):
            return from_table(option, value, f"{place}.")
        if get_origin(option) is dict and isinstance(value, dict):
            inner = get_args(option)[1]
            return {key: _value(inner, item, f"{place}.{key}") for key, item in value.items()}
        if option is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if get_origin(option) is tuple and isinstance(value, list):
            inner = get_args(option)[0]
            return tuple(_value(inner, item, f"{place}[{n}]") for n, item in enumerate(value))
        if option is Any or (isinstance(option, type) and type(value) is option):
            return value
    wanted = " or ".join(getattr(o, "__name__", str(o)) for o in options if o is not type(None))
    raise ValueError(f"{place} must be {wanted}, got {value!r}")
