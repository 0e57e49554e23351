"""The candidates of a gateway's settings, and the logs that tell of them."""

from pathlib import Path

from policies.base import Policy
from scheduler.config import ServeConfig
from scheduler.policy_file import build_policy
from scheduler.solving.metrics import Metrics
from scheduler.solving.outcome_log import OutcomeLog
from scheduler.solving.rollout import Rollout, split_of
from scheduler.solving.shadow import Shadow


def rollout(config: ServeConfig, current: Policy) -> Rollout | None:
    """The split of the settings, between the server's policy and its candidate."""
    if (wanted := config.rollout) is None:
        return None
    options = config.filled(wanted.options)
    split = split_of((config.policy.name, config.policy_options), (wanted.name, options))
    return Rollout(current, build_policy(wanted.name, **options), wanted.share, split)


def shadow(config: ServeConfig, metrics: Metrics, seed: int = 0) -> Shadow | None:
    """The candidate that only decides."""
    if (wanted := config.shadowed) is None:
        return None
    return Shadow(build_policy(wanted.name, **config.filled(wanted.options)), metrics, seed)


def outcome_log(config: ServeConfig, suffix: str = "") -> OutcomeLog | None:
    """The log of outcomes, or another beside it."""
    if config.outcomes is None:
        return None
    path = Path(config.outcomes + suffix)
    return OutcomeLog(path, mib=config.outcomes_mib, files=config.outcomes_files)
