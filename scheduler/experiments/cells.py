"""The cells of an experiment: one engine, one question set, one policy and one seed each."""

from pathlib import Path
from typing import NamedTuple

from policies.base import Policy
from scheduler.config import EngineConfig, PolicyConfig, ServeConfig
from scheduler.engines.verifier import require_verifier
from scheduler.experiments.settings import EndpointConfig, ExperimentConfig
from scheduler.policy_file import build_policy

FOLDER = "cells"
OUTCOMES = "outcomes"
SERVER = "server"
"""The name of whatever policy an endpoint runs by default."""


class ExperimentCell(NamedTuple):
    """Labels of the experiment's own; `seed` counts from 0."""

    engine: str
    questions: str
    policy: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.engine}~{self.questions}~{self.policy}~{self.seed}"

    def path(self, folder: Path) -> Path:
        """Its results; the file appears when the cell is complete."""
        return folder / FOLDER / f"{self.name}.jsonl"


def all_cells(config: ExperimentConfig) -> list[ExperimentCell]:
    """Every policy and seed has its turn before a set or an engine is left.

    Raises ValueError for a policy that cannot be built or does not fit an engine.
    """
    cells = []
    for engine, asked in config.named_engines.items():
        for label, named in config.named_policies.items():
            if isinstance(asked, EndpointConfig):
                if ":" in named.name:
                    raise ValueError(
                        f"policies.{label}: {named.name!r} cannot run on endpoint {asked.url}; "
                        f"start that with `serve --policy {named.name}` and name it {SERVER!r}"
                    )
                if named.name == SERVER:
                    continue
            policy = built(config, label)
            if not isinstance(asked, EndpointConfig):
                own = asked if isinstance(asked, EngineConfig) else None
                try:
                    require_verifier(policy, config.verifier, own)
                except ValueError as error:
                    raise ValueError(f"policies.{label}: {error}") from error
        for questions in config.sets_of(asked):
            cells += [
                ExperimentCell(engine, questions, policy, seed)
                for seed in range(config.seeds)
                for policy in config.named_policies
            ]
    return cells


def built(config: ExperimentConfig, label: str) -> Policy:
    """The policy of a label. Raises ValueError that names it."""
    policy: PolicyConfig = config.named_policies[label]
    serving = ServeConfig(policy=policy, answer_tokens=config.answer_tokens)
    try:
        return build_policy(policy.name, **serving.policy_options)
    except ValueError as error:
        raise ValueError(f"policies.{label}: {error}") from error


def learns(config: ExperimentConfig, label: str) -> bool:
    """Whether a policy reads learned curves; one of the user's own may."""
    return ":" in config.named_policies[label].name or built(config, label).options.reads_curves
