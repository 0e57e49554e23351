"""The files of deploy/ are what Serve and thinkbudget accept, and say the same."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from scheduler.config import ServeConfig
from scheduler.settings import from_table

DEPLOY = Path(__file__).parents[3] / "deploy"
DOCKERFILE = (DEPLOY.parent / "Dockerfile").read_text(encoding="utf-8")


def kuberay() -> list[dict[str, Any]]:
    """The documents of the manifest."""
    return [*yaml.safe_load_all((DEPLOY / "kuberay.yaml").read_text(encoding="utf-8"))]


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    table: dict[str, Any] = yaml.safe_load((DEPLOY / "serve.yaml").read_text(encoding="utf-8"))
    return table


@pytest.fixture(scope="module")
def config(settings: dict[str, Any]) -> ServeConfig:
    return from_table(ServeConfig, settings["applications"][0]["args"])


def test_its_arguments_are_settings(config: ServeConfig) -> None:
    assert config.gateways >= 2
    assert config.scaling is not None
    assert config.scaling.max_replicas > config.replicas
    assert config.engine.gpus == config.engine.tensor_parallel_size


def test_kubernetes_gets_the_same_text_and_more_time_than_a_drain(config: ServeConfig) -> None:
    service = kuberay()[0]
    text = (DEPLOY / "serve.yaml").read_text(encoding="utf-8")
    assert service["spec"]["serveConfigV2"] == text
    cluster = service["spec"]["rayClusterConfig"]
    for group in cluster["workerGroupSpecs"]:
        pod = group["template"]["spec"]
        assert pod["terminationGracePeriodSeconds"] > config.drain_seconds
    gateways, engines = cluster["workerGroupSpecs"]
    assert gateways["minReplicas"] >= config.gateways
    gpus = engines["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]
    assert gpus == config.engine.gpus
    assert config.scaling is not None
    assert engines["maxReplicas"] == config.scaling.max_replicas


def test_kubernetes_runs_the_ray_that_is_required() -> None:
    service = kuberay()[0]
    version = service["spec"]["rayClusterConfig"]["rayVersion"]
    pyproject = (DEPLOY.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert f"ray[serve]=={version}" in pyproject


def test_kubernetes_knows_which_pods_serve_and_evicts_few_at_once(config: ServeConfig) -> None:
    service, *budgets = kuberay()
    assert service["spec"]["upgradeStrategy"] == {"type": "NewCluster"}
    assert service["spec"]["rayClusterDeletionDelaySeconds"] > config.drain_seconds
    cluster = service["spec"]["rayClusterConfig"]
    for group in cluster["workerGroupSpecs"]:
        (container,) = group["template"]["spec"]["containers"]
        assert container["readinessProbe"]["httpGet"] == {"path": "/-/healthz", "port": 8000}
    (head,) = cluster["headGroupSpec"]["template"]["spec"]["containers"]
    assert head["livenessProbe"]["exec"]["command"][:2] == ["ray", "health-check"]
    groups = {group["groupName"] for group in cluster["workerGroupSpecs"]}
    assert {budget["kind"] for budget in budgets} == {"PodDisruptionBudget"}
    chosen = [budget["spec"]["selector"]["matchLabels"] for budget in budgets]
    assert {labels.get("ray.io/group") for labels in chosen} - {None} == groups
    assert all(set(budget["spec"]) == {"maxUnavailable", "selector"} for budget in budgets)


def test_pods_run_as_the_user_of_the_image() -> None:
    user = re.search(r"useradd .*--uid (\d+)", DOCKERFILE)
    assert user is not None
    cluster = kuberay()[0]["spec"]["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert group["template"]["spec"]["securityContext"]["runAsUser"] == int(user[1])
