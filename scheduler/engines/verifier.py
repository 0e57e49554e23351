"""A verifier by its settings. Heavy imports happen only for the one that is asked for."""

import os

from policies.base import Policy
from scheduler.config import EngineConfig, VerifierConfig, VerifierKind
from workers.models import POCKET
from workers.verifier.base import Verifier


def make_verifier(config: VerifierConfig | None, engine: EngineConfig | None) -> Verifier | None:
    """Without settings, the one that goes with the engine: s1-pocket and the simulated engine have
    one each, one behind a network (None) has none. None: there is none.
    """
    own = _own(engine)
    config = config or (VerifierConfig(own) if own else None)
    if config is None:
        return None
    kind = config.kind
    if kind == "pocket":
        from workers.verifier.pocket import PocketVerifier

        return PocketVerifier()
    if kind == "simulated":
        from workers.simulated.thoughts import is_right
        from workers.verifier.simulated import SimulatedVerifier

        return SimulatedVerifier(is_right, auc=config.auc)
    from workers.verifier.endpoint import EndpointVerifier

    assert config.url is not None and config.model is not None
    return EndpointVerifier(
        config.url,
        config.model,
        kind,
        key=os.environ.get(config.api_key_env),
        step_separator=config.step_separator,
        right_index=config.right_index,
        timeout_seconds=config.timeout_seconds,
    )


def require_verifier(
    policy: Policy, config: VerifierConfig | None, engine: EngineConfig | None
) -> None:
    """Raise ValueError if a policy reads rewards that nobody could give."""
    if policy.options.reads_rewards and config is None and _own(engine) is None:
        raise ValueError(
            f"policy {policy.name!r} reads rewards, and there is no verifier; `verifier` sets one"
        )


def _own(engine: EngineConfig | None) -> VerifierKind | None:
    if engine is None:
        return None
    if engine.kind == "simulated":
        return "simulated"
    return "pocket" if engine.kind == "vllm" and engine.model == POCKET else None
