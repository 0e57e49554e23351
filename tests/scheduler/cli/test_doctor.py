"""What is missing is listed with advice."""

import socket
from pathlib import Path

import pytest

from scheduler.cli.doctor import NEEDED_MEMORY_GIB, DoctorCheck, examine


@pytest.fixture(scope="module")
def findings() -> list[DoctorCheck]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return examine(port, "s1-pocket")


def test_everything_is_looked_at_once(findings: list[DoctorCheck]) -> None:
    assert [finding.what for finding in findings] == [
        "python", "ray", "torch", "vllm", "gpu", "memory", "port", "s1-pocket",
        "sampling",
    ]  # fmt: skip
    assert all(finding.found for finding in findings)


def test_what_is_fatal_or_missing_has_advice(findings: list[DoctorCheck]) -> None:
    for finding in findings:
        if finding.fatal or finding.found in ("missing", "none"):
            assert finding.advice, finding


def test_what_is_well_has_none(findings: list[DoctorCheck]) -> None:
    by_name = {finding.what: finding for finding in findings}
    assert by_name["python"] == DoctorCheck("python", by_name["python"].found)
    assert by_name["port"].advice == ""
    free = float(by_name["memory"].found.split()[0])
    assert by_name["memory"].fatal is (free < NEEDED_MEMORY_GIB) or free == NEEDED_MEMORY_GIB


def test_a_taken_port_is_found() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (finding,) = [f for f in examine(port, "s1-pocket") if f.what == "port"]
    assert finding.fatal
    assert str(port) in finding.found
    assert "--port" in finding.advice


def test_values_of_a_model_that_are_not_followed_are_told(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    makers = '{"temperature": 0.6, "max_new_tokens": 9}'
    (tmp_path / "generation_config.json").write_text(makers, encoding="utf-8")
    (finding,) = [f for f in examine(1, str(tmp_path)) if f.what == "sampling"]
    assert finding.found.endswith("temperature 0.6") and not finding.fatal
    assert "max_new_tokens 9" in finding.advice
