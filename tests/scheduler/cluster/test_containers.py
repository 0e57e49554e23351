"""Dockerfile, compose.yaml and the systemd unit, read and compared with the product: no container
is built or started here.
"""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from scheduler.config import ServeConfig
from scheduler.settings import from_table
from thinkbudget import main

ROOT = Path(__file__).parents[3]
COMPOSE = ROOT / "deploy" / "compose"
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
SERVICE_KEYS = {
    "build", "command", "depends_on", "deploy", "entrypoint", "environment", "healthcheck", "image",
    "init", "ports", "restart", "shm_size", "stop_grace_period", "volumes",
}  # fmt: skip


def compose(name: str = "compose.yaml") -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    return loaded


def config() -> ServeConfig:
    table = tomllib.loads((COMPOSE / "thinkbudget.toml").read_text(encoding="utf-8"))
    return from_table(ServeConfig, table)


def check_command(words: list[str]) -> None:
    """Raise unless a command line of thinkbudget names commands and flags that there are."""
    command: click.Command = main
    while words and isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    flags = {flag for one in command.params for flag in getattr(one, "opts", ())}
    assert {word for word in words if word.startswith("-")} <= flags, words


def commands_used() -> list[list[str]]:
    """Of thinkbudget's, in all files that start it."""
    found = [
        service["command"] for service in compose()["services"].values() if "command" in service
    ]
    found += [yaml.safe_load(line) for line in re.findall(r"^CMD (\[.*\])", DOCKERFILE, re.M)]
    script = (COMPOSE / "first-keys.sh").read_text(encoding="utf-8")
    found += [
        shlex.split(line)[1:] for line in script.splitlines() if line.startswith("thinkbudget")
    ]
    unit = (ROOT / "deploy" / "systemd" / "thinkbudget.service").read_text(encoding="utf-8")
    found += [shlex.split(line)[1:] for line in re.findall(r"^ExecStart=(.*)", unit, re.M)]
    return [words[: words.index(">")] if ">" in words else words for words in found if words]


@pytest.mark.parametrize("words", commands_used(), ids=" ".join)
def test_commands_and_flags_exist(words: list[str]) -> None:
    check_command([*words])


def test_a_flag_that_there_is_not_is_found() -> None:
    with pytest.raises(AssertionError):
        check_command(["serve", "--prot", "8000"])


@pytest.mark.parametrize("name", ["compose.yaml", "deploy/compose/gpu.yaml"])
def test_compose_files_use_keys_that_compose_knows(name: str) -> None:
    services = compose(name)["services"]
    for service in services.values():
        assert set(service) <= SERVICE_KEYS
    stages = re.findall(r"^FROM \S+ AS (\w+)", DOCKERFILE, re.M)
    targets = {service["build"]["target"] for service in services.values() if "build" in service}
    assert targets <= set(stages)


def test_services_wait_for_services_and_mount_what_is_there() -> None:
    whole = compose()
    for service in whole["services"].values():
        assert set(service.get("depends_on", ())) <= set(whole["services"])
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            assert (
                (ROOT / source).exists() if source.startswith(".") else source in whole["volumes"]
            )


def test_ports_and_paths_are_those_of_the_settings() -> None:
    services, settings = compose()["services"], config()
    (port,) = services["thinkbudget"]["ports"]
    assert port == f"127.0.0.1:{settings.port}:{settings.port}"
    assert f"EXPOSE {settings.port}" in DOCKERFILE
    assert f"http://127.0.0.1:{settings.port}/health" in DOCKERFILE
    scrape = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    (job,) = scrape["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"thinkbudget:{settings.port}"]}]
    mounted = [mount.split(":")[1] for mount in services["thinkbudget"]["volumes"]]
    for path in (settings.curves, settings.access.keys, settings.store.spool):
        assert path is not None
        assert path.startswith(tuple(f"{folder}/" for folder in mounted))


def test_the_endpoint_asks_for_keys_and_reaches_the_database() -> None:
    settings, services = config(), compose()["services"]
    assert settings.access.keys is not None
    settings.access.require(settings.host)
    database = services["postgres"]["environment"]
    url = f"postgresql://{database['POSTGRES_USER']}@postgres/{database['POSTGRES_DB']}"
    assert settings.store.url == url
    assert services["thinkbudget"]["environment"]["PGPASSWORD"] == database["POSTGRES_PASSWORD"]


def test_every_published_port_is_of_this_machine_only() -> None:
    for service in compose()["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_images_have_a_version_and_no_root() -> None:
    for service in compose()["services"].values():
        name, _, tag = service["image"].partition(":")
        assert tag and tag != "latest", name
    for target in ("cpu", "gpu"):
        stage = DOCKERFILE.partition(f"FROM base AS {target}")[2].partition("\nFROM")[0]
        assert "USER 10001" in stage


def test_what_is_copied_is_there_and_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = [line[1:] for line in ignored if line.startswith("!")]
    for line in re.findall(r"^COPY (.*)", DOCKERFILE, re.M):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert any(Path(source).match(pattern) for pattern in kept), source
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for names in re.findall(r"'\.\[([\w,]+)\]'", DOCKERFILE):
        assert set(names.split(",")) <= set(extras)


def test_systemd_waits_longer_than_requests_may_take_to_finish() -> None:
    unit = (ROOT / "deploy" / "systemd" / "thinkbudget.service").read_text(encoding="utf-8")
    lines = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line and line[0] != "#")
    assert int(lines["TimeoutStopSec"]) > ServeConfig().drain_seconds + 15
    grace = compose()["services"]["thinkbudget"]["stop_grace_period"]
    assert int(grace.rstrip("s")) > config().drain_seconds + 15
