"""The files of deploy/ are what Serve and thinkbudget accept, and say the same."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from scheduler.config import ServeConfig, from_table

DEPLOY = Path(__file__).parents[3] / "deploy"


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    table: dict[str, Any] = yaml.safe_load((DEPLOY / "serve.yaml").read_text(encoding="utf-8"))
    return table


@pytest.fixture(scope="module")
def config(told: dict[str, Any]) -> ServeConfig:
    return from_table(ServeConfig, told["applications"][0]["args"])


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_is_not_open_by_mistake() -> None:
    from scheduler.cluster.application import build

    with pytest.raises(ValueError, match="no keys are asked for"):
        build({"engine": {"kind": "simulated"}})


@pytest.mark.filterwarnings("ignore")
def test_serve_accepts_the_file_and_all_of_it_is_meant(told: dict[str, Any]) -> None:
    from ray.serve.schema import ServeDeploySchema

    from scheduler.cluster import launch

    schema = ServeDeploySchema.model_validate(told)
    (application,) = schema.applications
    # Serve ignores keys that it does not know, so what came through is compared with the file.
    assert set(told) <= set(ServeDeploySchema.model_fields)
    assert set(told["applications"][0]) <= set(type(application).model_fields)
    assert set(told["http_options"]) <= set(type(schema.http_options).model_fields)
    for one, given in zip(
        application.deployments, told["applications"][0]["deployments"], strict=True
    ):
        assert set(given) <= set(type(one).model_fields)
    assert schema.http_options.request_timeout_s is None
    assert schema.controller_options is not None
    assert schema.controller_options.runtime_env == {"env_vars": launch.CONTROLLER}


def test_its_arguments_are_settings(config: ServeConfig) -> None:
    assert config.gateways >= 2
    assert config.scaling is not None
    assert config.scaling.max_replicas > config.replicas
    assert config.engine.gpus == config.engine.tensor_parallel_size


@pytest.mark.filterwarnings("ignore")
def test_its_import_path_and_names_are_there(told: dict[str, Any]) -> None:
    from scheduler.cluster import application as serve

    (application,) = told["applications"]
    assert application["import_path"] == f"{serve.__name__}:{serve.build.__name__}"
    assert application["name"] == ServeConfig().application


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
