"""The files of deploy/ are what Serve and thinkbudget accept, and say the same."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from scheduler.config import ServeConfig
from scheduler.settings import from_table

DEPLOY = Path(__file__).parents[3] / "deploy"


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
    service = yaml.safe_load((DEPLOY / "kuberay.yaml").read_text(encoding="utf-8"))
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
    service = yaml.safe_load((DEPLOY / "kuberay.yaml").read_text(encoding="utf-8"))
    version = service["spec"]["rayClusterConfig"]["rayVersion"]
    pyproject = (DEPLOY.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert f"ray[serve]=={version}" in pyproject
