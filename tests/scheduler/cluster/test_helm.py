"""The Helm chart: its values are settings and are all used; rendered where there is a helm."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from scheduler.config import ServeConfig
from scheduler.settings import from_table

ROOT = Path(__file__).parents[3]
CHART = ROOT / "deploy" / "helm"
HELM = shutil.which("helm")
TEMPLATES = "".join(path.read_text("utf-8") for path in sorted((CHART / "templates").iterdir()))
# Handed on as a whole: thinkbudget's, Kubernetes's and the user's own.
WHOLE = {"settings", "files", "env", "head.resources", "gateways.resources"}
WHOLE |= {"engines.nodeSelector", "engines.tolerations", "image.pullSecrets"}
WHOLE |= {"serviceMonitor.labels"}


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    found: dict[str, Any] = loaded(CHART / "values.yaml")
    return found


@pytest.fixture(scope="module")
def config(values: dict[str, Any]) -> ServeConfig:
    return from_table(ServeConfig, values["settings"])


def leaves(table: dict[str, Any], at: str = "") -> set[str]:
    """Dotted names of all values, those that are handed on as a whole as one."""
    found: set[str] = set()
    for name, value in table.items():
        full = f"{at}{name}"
        inner = isinstance(value, dict) and full not in WHOLE
        found |= leaves(value, f"{full}.") if inner else {full}
    return found


def test_every_value_is_used_and_every_value_that_is_used_is_there(values: dict[str, Any]) -> None:
    used = set(re.findall(r"\.Values\.([\w.]+)", TEMPLATES))
    inside = {name for name in used if name.startswith("settings.")}
    assert all(name.split(".")[1] in values["settings"] for name in inside)
    assert used - inside == leaves(values)


def test_it_is_of_this_version_and_of_the_ray_that_is_required(values: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    chart = loaded(CHART / "Chart.yaml")
    assert chart["apiVersion"] == "v2"
    assert chart["version"] == chart["appVersion"] == project["version"]
    assert f"ray[serve]=={values['rayVersion']}" in project["dependencies"]


def test_its_pods_have_room_for_what_the_settings_ask_for(
    values: dict[str, Any], config: ServeConfig
) -> None:
    assert config.scaling is not None
    assert values["engines"]["gpus"] == config.engine.gpus
    assert values["engines"]["minPods"] == config.replicas
    assert values["engines"]["maxPods"] == config.scaling.max_replicas
    assert config.access.keys == "/etc/thinkbudget/keys"


def test_it_says_what_the_manifest_says(values: dict[str, Any]) -> None:
    service, *_ = yaml.safe_load_all((CHART.parent / "kuberay.yaml").read_text(encoding="utf-8"))
    (application,) = yaml.safe_load(service["spec"]["serveConfigV2"])["applications"]
    assert values["settings"] == application["args"]
    gateways, engines = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    (container,) = gateways["template"]["spec"]["containers"]
    assert values["gateways"]["resources"] == container["resources"] == values["head"]["resources"]
    (container,) = engines["template"]["spec"]["containers"]
    assert values["engines"]["memory"] == container["resources"]["limits"]["memory"]
    assert values["engines"]["cpu"] == container["resources"]["requests"]["cpu"]


def rendered(*flags: str) -> dict[tuple[str, str], dict[str, Any]]:
    """The objects that helm makes of the chart, by kind and name."""
    if HELM is None:
        pytest.skip("no helm is installed")
    command = [HELM, "template", "tb", str(CHART), "--set", "keys.content=a", *flags]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    objects = [each for each in yaml.safe_load_all(done.stdout) if each]
    return {(each["kind"], each["metadata"]["name"]): each for each in objects}


def test_helm_makes_the_service_of_the_manifest_of_it(values: dict[str, Any]) -> None:
    objects = rendered()
    assert {kind for kind, _ in objects} == {
        "RayService", "PodDisruptionBudget", "Secret", "ConfigMap",
    }  # fmt: skip
    manifest, *_ = yaml.safe_load_all((CHART.parent / "kuberay.yaml").read_text(encoding="utf-8"))
    made, expected = objects["RayService", "tb"]["spec"], manifest["spec"]
    assert yaml.safe_load(made.pop("serveConfigV2")) == yaml.safe_load(
        expected.pop("serveConfigV2")
    )
    cluster, like = made["rayClusterConfig"], expected["rayClusterConfig"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group, other in zip(
        groups, [like["headGroupSpec"], *like["workerGroupSpecs"]], strict=True
    ):
        pod, wanted = group["template"]["spec"], other["template"]["spec"]
        (container,), (meant,) = pod["containers"], wanted["containers"]
        for name in ("livenessProbe", "readinessProbe", "env", "ports", "resources"):
            assert container.get(name) == meant.get(name)
        for name in ("terminationGracePeriodSeconds", "securityContext"):
            assert pod[name] == wanted[name]
        budget = objects["PodDisruptionBudget", f"tb-{group.get('groupName', 'head')}"]
        selector = budget["spec"]["selector"]["matchLabels"]
        assert selector.items() <= group["template"]["metadata"]["labels"].items()


def test_helm_leaves_out_what_is_not_asked_for() -> None:
    own = rendered("--set", "keys.existingSecret=mine", "--set", "serviceMonitor.enabled=true")
    assert not [name for kind, name in own if kind == "Secret"]
    monitor = own["ServiceMonitor", "tb"]["spec"]
    assert monitor["selector"]["matchLabels"] == {"ray.io/serve": "tb-serve"}
    pod = own["RayService", "tb"]["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]
    assert pod["volumes"][0]["secret"]["secretName"] == "mine"


def test_helm_takes_several_models_in_the_place_of_one() -> None:
    engine = "kind=simulated"
    flags = [f"settings.models.{name}.engine.{engine}" for name in ("small", "large")]
    made = rendered("--set", f"settings.engine=null,{','.join(flags)}")
    text = made["RayService", "tb"]["spec"]["serveConfigV2"]
    config = from_table(ServeConfig, yaml.safe_load(text)["applications"][0]["args"])
    assert set(config.models) == {"small", "large"}
