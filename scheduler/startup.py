"""Settings from command-line flags, and the checks made before anything is started."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from policies import build
from policies.price import DEFAULT_PRICE
from scheduler.admission.access import AccessConfig
from scheduler.api.keys import read_keys
from scheduler.config import EngineConfig, PolicyConfig, ScalingConfig, ServeConfig
from scheduler.curves.query_classes import QueryClasses
from scheduler.curves.wal import load
from scheduler.engines.factory import check


def settings(
    *,
    model: str,
    kind: str,
    format_: str | None,
    max_model_len: int | None,
    policy: str,
    price: float | None,
    answer_tokens: int,
    tensor_parallel_size: int = 1,
    max_replicas: int | None = None,
    keys: str | None = None,
    insecure_no_auth: bool = False,
    **serving: Any,
) -> ServeConfig:
    """Turn flags into validated settings. Raises ValueError."""
    engine = EngineConfig(
        kind=kind,
        model=model,
        format=format_,
        max_model_len=max_model_len,
        tensor_parallel_size=tensor_parallel_size,
    )
    return validate(
        ServeConfig(
            engine=engine,
            policy=PolicyConfig(policy),
            price=DEFAULT_PRICE if price is None else price,
            answer_tokens=answer_tokens,
            access=AccessConfig(keys=keys, insecure_no_auth=insecure_no_auth),
            scaling=None if max_replicas is None else ScalingConfig(max_replicas),
            **serving,
        )
    )


def validate(config: ServeConfig) -> ServeConfig:
    """Check the settings and the files they name before anything starts. Raises ValueError."""
    check(config.engine)
    build(config.policy.name, **config.policy_options)
    if config.access.keys is not None:
        # Gateways need not run in the folder that this process runs in.
        keys = Path(config.access.keys).resolve()
        read_keys(keys)
        config = replace(config, access=replace(config.access, keys=str(keys)))
    if config.classes is not None:
        QueryClasses.load(Path(config.classes))
    if config.curves is not None and Path(config.curves).is_file():
        load(Path(config.curves))
    return config
