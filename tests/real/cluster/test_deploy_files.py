"""Ray Serve accepts the files of deploy/ as they are. No cluster is started."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from scheduler.config import ServeConfig

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("ignore")]

DEPLOY = Path(__file__).parents[3] / "deploy"


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    table: dict[str, Any] = yaml.safe_load((DEPLOY / "serve.yaml").read_text(encoding="utf-8"))
    return table


def test_a_cluster_is_not_open_by_mistake() -> None:
    from scheduler.cluster.application import build

    with pytest.raises(ValueError, match="no keys are asked for"):
        build({"engine": {"kind": "simulated"}})


def test_serve_accepts_the_file_and_all_of_it_is_meant(settings: dict[str, Any]) -> None:
    from ray.serve.schema import ServeDeploySchema

    from scheduler.cluster import launch

    schema = ServeDeploySchema.model_validate(settings)
    (application,) = schema.applications
    # Serve ignores keys that it does not know, so what came through is compared with the file.
    assert set(settings) <= set(ServeDeploySchema.model_fields)
    assert set(settings["applications"][0]) <= set(type(application).model_fields)
    assert set(settings["http_options"]) <= set(type(schema.http_options).model_fields)
    for one, given in zip(
        application.deployments, settings["applications"][0]["deployments"], strict=True
    ):
        assert set(given) <= set(type(one).model_fields)
    assert schema.http_options.request_timeout_s is None
    assert schema.controller_options is not None
    assert schema.controller_options.runtime_env == {"env_vars": launch.CONTROLLER}


def test_its_import_path_and_names_are_there(settings: dict[str, Any]) -> None:
    from scheduler.cluster import application as serve

    (application,) = settings["applications"]
    assert application["import_path"] == f"{serve.__name__}:{serve.build.__name__}"
    assert application["name"] == ServeConfig().application
