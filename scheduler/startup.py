"""Settings from command-line flags, and the checks made before anything is started."""

import time
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from scheduler.api.keys import read_keys
from scheduler.config import PolicyConfig, RolloutConfig, ServeConfig
from scheduler.curves.query_classes import QueryClasses
from scheduler.curves.wal import holder, load
from scheduler.engines.adapters import with_adapters
from scheduler.engines.factory import check
from scheduler.engines.verifier import require_verifier
from scheduler.policy_file import absolute, build_policy
from scheduler.settings import from_table, read_table
from scheduler.store.opening import absolute_store
from scheduler.tracing.spans import require_opentelemetry

C = TypeVar("C", PolicyConfig, RolloutConfig)

# A server that was killed keeps its files for so long at most.
HOLDER_SECONDS = 5.0

# Where each command-line flag stands in the settings.
FLAGS = {
    "model": "engine.model",
    "kind": "engine.kind",
    "format_": "engine.format",
    "max_model_len": "engine.max_model_len",
    "tensor_parallel_size": "engine.tensor_parallel_size",
    "vllm": "engine.vllm",
    "policy": "policy.name",
    "policy_options": "policy.options",
    "max_replicas": "scaling.max_replicas",
    "keys": "access.keys",
    "insecure_no_auth": "access.insecure_no_auth",
    "store": "store.url",
}


def settings(table: dict[str, Any] | None = None, **flags: Any) -> ServeConfig:
    """Settings from a TOML table and command-line flags; flags win. None is a flag not given.

    Raises ValueError that names the setting and the value.
    """
    merged = deepcopy(table or {})
    for flag, value in flags.items():
        if value is not None:
            *folders, name = FLAGS.get(flag, flag).split(".")
            place = merged
            for folder in folders:
                place = place.setdefault(folder, {})
            if isinstance(value, dict):
                value = place.get(name, {}) | value
            if flag == "policy" and place.get(name) not in (None, value):
                place.pop("options", None)
            place[name] = value
    return validate(from_table(ServeConfig, merged))


class SettingsSource(NamedTuple):
    """Where a server's settings came from, to be read again: its file, and the flags beside it."""

    file: str | None
    flags: dict[str, Any]

    def read(self) -> ServeConfig:
        """Raises ValueError that names the file, the setting and the value."""
        if self.file is None:
            return settings(**self.flags)
        table = read_table(Path(self.file))
        try:
            return settings(table, **self.flags)
        except ValueError as error:
            raise ValueError(f"{self.file}: {error}") from None


def validate(config: ServeConfig) -> ServeConfig:
    """Check the settings and the files they name before anything starts. Raises ValueError."""
    require_opentelemetry(config.tracing)
    if config.models:
        models, rollout = {}, config.rollout
        for name, model in config.models.items():
            try:
                checked = _of_one_model(config.of_model(name))
                with_adapters(checked.engine, model.adapters)
            except ValueError as error:
                raise ValueError(f"models.{name}.{error}") from None
            rollout = checked.rollout
            models[name] = replace(
                model,
                policy=checked.policy,
                shadow=checked.shadow,
                adapters={each: str(Path(at).resolve()) for each, at in model.adapters.items()},
            )
        config = replace(config, models=models, rollout=rollout)
    else:
        config = _of_one_model(config)
    if config.access.keys is not None:
        keys = Path(config.access.keys).resolve()
        read_keys(keys)
        config = replace(config, access=replace(config.access, keys=str(keys)))
    config = replace(config, store=absolute_store(config.store))
    if config.curves is not None and Path(config.curves).is_file():
        load(Path(config.curves))
    return config


def _of_one_model(config: ServeConfig) -> ServeConfig:
    """The settings of one model, with places that do not depend on the folder."""
    check(config.engine)
    policy = build_policy(config.policy.name, **config.policy_options)
    require_verifier(policy, config.verifier, config.engine)
    # Gateways need not run in the folder that this process runs in.
    name = absolute(config.policy.name)
    config = replace(config, policy=replace(config.policy, name=name))
    if shadow := _candidate(config, "shadow", config.shadowed):
        config = replace(config, shadow=shadow)
    if rollout := _candidate(config, "rollout", config.rollout):
        config = replace(config, rollout=rollout)
    if config.classes is not None:
        QueryClasses.load(Path(config.classes))
    return config


def _candidate(config: ServeConfig, field: str, given: C | None) -> C | None:
    """The same for processes that run in another folder. Raises ValueError that names the field."""
    if given is None:
        return None
    try:
        policy = build_policy(given.name, **config.filled(given.options))
        require_verifier(policy, config.verifier, config.engine)
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from None
    if field == "shadow" and policy.options.reads_rewards:
        raise ValueError(f"shadow: {policy.name} reads rewards of chains, and would spend them")
    if field == "rollout" and config.outcomes is None:
        raise ValueError("rollout needs outcomes, the log that tells of both policies")
    return replace(given, name=absolute(given.name))


def require_curves(config: ServeConfig, wait_seconds: float = HOLDER_SECONDS) -> None:
    """Raise ValueError if another process writes the curves file, once it had time to end."""
    if config.curves is None:
        return
    until = time.monotonic() + wait_seconds
    while (pid := holder(Path(config.curves))) is not None:
        if time.monotonic() >= until:
            raise ValueError(
                f"curves {config.curves!r} is being written by another process ({pid}): "
                "two servers cannot share the file; stop that one, or name another file"
            )
        time.sleep(0.1)
