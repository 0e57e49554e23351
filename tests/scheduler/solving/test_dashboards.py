"""The dashboard and the alerts of deploy/ read metrics, labels and values that are exported."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from scheduler import errors
from scheduler.solving.metrics import REJECTED, Metrics

DEPLOY = Path(__file__).parents[3] / "deploy"
DASHBOARD = DEPLOY / "grafana" / "thinkbudget.json"
RULES = DEPLOY / "prometheus" / "alerts.yml"
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
FROM_PROMETHEUS = {"job", "instance", "le"}
BRACED = r"\{([^}]*)\}"


def exported() -> dict[str, set[str]]:
    """The labels of every series that a server exports, by its name."""
    collectors = Metrics().registry._collector_to_names
    described: list[Any] = list(collectors)
    families = [(one, family) for one in described for family in one.describe()]
    return {
        family.name + suffix: set(getattr(one, "_labelnames", ()))
        for one, family in families
        for suffix in SUFFIXES[family.type]
    }


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return loaded


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


QUERIES = [target["expr"] for panel in panels() for target in panel["targets"]]
EXPRESSIONS = [*QUERIES, *(rule["expr"] for rule in rules())]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_what_is_read_is_exported(expression: str) -> None:
    series = exported()
    names = re.findall(r"\bthinkbudget_\w+", expression)
    assert names or expression.startswith("up{")
    known = FROM_PROMETHEUS.union(*(series[name] for name in names))
    for matchers in re.findall(BRACED, expression):
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)) <= known
    for grouped in re.findall(r"\bby \(([^)]*)\)", expression):
        assert {label.strip() for label in grouped.split(",")} <= known


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_rates_are_of_counters_and_brackets_are_closed(expression: str) -> None:
    for name in re.findall(r"\b(?:rate|increase)\((\w+)", expression):
        assert name.endswith(("_total", "_bucket", "_sum", "_count"))
    assert all(expression.count(a) == expression.count(b) for a, b in ("()", "{}", "[]"))


def test_labels_shown_in_a_legend_are_kept_by_its_query() -> None:
    for panel in panels():
        for target in panel["targets"]:
            shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            kept = re.findall(r"\bby \(([^)]*)\)", target["expr"])
            assert shown <= {label.strip() for labels in kept for label in labels.split(",")}


def test_values_of_labels_are_ones_that_occur() -> None:
    text = "\n".join(EXPRESSIONS)
    codes = set(re.findall(r'code="(\w+)"', Path(errors.__file__).read_text(encoding="utf-8")))
    for outcomes in re.findall(r'outcome=~"([^"]*)"', text):
        assert set(outcomes.split("|")) <= codes | {"internal_error", "ok"}
    for reasons in re.findall(r'reason=~?"([^"]*)"', text):
        assert set(reasons.split("|")) <= {*REJECTED}
    assert set(re.findall(r'bound="(\w+)"', text)) == {"accuracy", "low", "high"}


def test_the_dashboard_shows_what_operators_look_for() -> None:
    text = "\n".join(QUERIES)
    for name in (
        "queue_depth", "admission_rejections_total", "plan_tokens_total", "served_accuracy",
        "price", "engine_up", "engines", "owed_tokens", "engine_events_total",
        "request_latency_seconds_bucket",
    ):  # fmt: skip
        assert f"thinkbudget_{name}" in text


def test_the_dashboard_has_the_shape_that_grafana_reads() -> None:
    board = dashboard()
    assert (board["schemaVersion"], board["uid"]) == (39, "thinkbudget")
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(numbers) == len(set(numbers))
    cells: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        assert 0 <= at["x"] < at["x"] + at["w"] <= 24
        taken = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not taken & cells, panel["title"]
        cells |= taken
    variables = {variable["name"] for variable in board["templating"]["list"]}
    for panel in panels():
        assert panel["type"] in {"timeseries", "stat"}
        letters = [target["refId"] for target in panel["targets"]]
        assert len(letters) == len(set(letters)) > 0
        for target in panel["targets"]:
            used = set(re.findall(r"\$\{?(\w+)", target["expr"] + target["datasource"]["uid"]))
            assert used <= variables | {"__rate_interval"}


def test_alerts_say_what_is_wrong_and_how_badly() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    for rule in rules():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"]
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))
