"""Estimates from logged decisions: of several policies, as a table and as JSON."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from policies.base import Policy
from scheduler.errors import PolicyFailed
from scheduler.experiments.cells import built
from scheduler.experiments.estimate_text import number, percent, points, signed
from scheduler.experiments.off_policy.decision_log import LoggedDecision, read_decisions
from scheduler.experiments.off_policy.logged_policies import PolicyEstimate, estimate
from scheduler.experiments.off_policy.split_log import logs_of
from scheduler.experiments.settings import DecisionLogConfig, ExperimentConfig
from scheduler.experiments.tables import TextTable, plain
from scheduler.progress import progress

NAME = "off_policy.json"
HEAD = (
    "policy", "supported", "effective", "largest weight", "agrees",
    "accuracy DR", "IPS", "SNIPS", "against the log", "tokens DR", "against the log",
)  # fmt: skip


def decisions_of(logs: Sequence[Path], curves: Path | None) -> list[LoggedDecision]:
    """Of these logs with those set aside. Raises ValueError that names what is wrong."""
    paths = [path for log in logs for path in logs_of(log)]
    if missing := [log for log in logs if not logs_of(log)]:
        raise ValueError(f"{missing[0]}: there is no such log of outcomes")
    return read_decisions(paths, curves)


def estimates(
    decisions: Sequence[LoggedDecision], policies: Mapping[str, Policy]
) -> list[PolicyEstimate]:
    """Of every policy by its label. Raises ValueError that names the policy that fails."""
    found = []
    with progress("off-policy", len(decisions) * len(policies)) as bar:
        for label, policy in policies.items():
            try:
                found.append(estimate(decisions, policy, label=label, advance=bar.advance))
            except PolicyFailed as failed:
                raise ValueError(failed.message) from failed
    return found


def evaluate_logs(config: ExperimentConfig, folder: Path) -> str:
    """Estimate every policy on every log of an experiment; the tables, which are in NAME, too."""
    texts, told = [], {}
    for label, log in config.decision_logs.items():
        found = _of_log(config, log)
        told[label] = [each.as_dict() for each in found]
        texts.append(plain(table(found, f"{label}: {log.decisions}")))
    partial = folder / f"{NAME}.partial"
    partial.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    partial.replace(folder / NAME)
    return "\n\n".join(texts)


def _of_log(config: ExperimentConfig, log: DecisionLogConfig) -> list[PolicyEstimate]:
    decisions = decisions_of([Path(log.decisions)], Path(log.curves) if log.curves else None)
    policies = {label: built(config, label) for label in config.named_policies}
    return estimates(decisions, policies)


def table(found: Sequence[PolicyEstimate], title: str) -> TextTable:
    """Policies that are refused have their reason in the note."""
    rows = tuple(_row(each) for each in found)
    notes = [f"{each.policy}: no estimate: {each.refused}" for each in found if each.refused]
    notes += [
        f"{each.policy}: weights average {each.mean_weight:.2f} where 1 is expected: the logged "
        "propensities do not fit"
        for each in found
        if not each.refused and abs(each.mean_weight - 1) > 0.25
    ]
    return TextTable(title, HEAD, rows, "\n".join(notes))


def _row(of: PolicyEstimate) -> tuple[str, ...]:
    overlap = of.overlap
    head = (
        of.policy,
        f"{overlap.covered:.0%}",
        f"{overlap.effective:.0f} of {overlap.decisions}",
        f"{overlap.largest:.1f}",
        f"{of.agreement:.0%}",
    )
    accuracy: tuple[str, ...] = ("-",) * 4
    tokens: tuple[str, ...] = ("-",) * 2
    if (found := of.accuracy) is not None:
        accuracy = (
            *(percent(each) for each in (found.dr, found.ips, found.snips)),
            points(found.difference),
        )
    if (found := of.tokens) is not None:
        tokens = number(found.dr), signed(found.difference)
    return (*head, *accuracy, *tokens)


def as_json(found: Sequence[PolicyEstimate]) -> list[dict[str, Any]]:
    return [each.as_dict() for each in found]
