"""The wheel, built and installed into a clean environment, away from the source tree.

The environment borrows the dependencies that are installed here, so nothing is downloaded.
"""

import os
import signal
import subprocess
import sys
import sysconfig
import time
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.commands import run_command
from tests.endpoint import START_SECONDS, free_port

pytest.importorskip("hatchling", reason="needs hatchling (extra dev) to build the wheel")
pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
VERSION = PROJECT["project"]["version"]
SOURCES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
LOADED = """
import scheduler, thinkbudget
from importlib.resources import files
from safetensors import safe_open
from workers.models import POCKET_FOLDER
model = safe_open(POCKET_FOLDER / "model.safetensors", "numpy")
print(thinkbudget.__file__, scheduler.__file__, len(model.keys()))
assert (files("scheduler.store") / "migrations" / "versions").is_dir()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


class Installed:
    """An environment with the wheel, and an empty folder to work in."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.bin, self.work = folder / "env" / "bin", folder / "work"
        self.work.mkdir()
        make = [sys.executable, "-m", "venv", "--without-pip", str(folder / "env")]
        subprocess.run(make, check=True)
        (packages,) = (folder / "env" / "lib").glob("python*/site-packages")
        # Files of paths in a folder that is added so are not read: no source tree comes along.
        (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
        install = [sys.executable, "-m", "pip", "--python", str(self.bin / "python"), "install",
                   "--quiet", "--no-deps", "--no-index", "--no-compile", str(wheel)]  # fmt: skip
        subprocess.run(install, check=True, env=self.env)

    @property
    def env(self) -> dict[str, str]:
        return {
            "HF_HUB_OFFLINE": "1",
            "HOME": str(self.work),
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "RAY_USAGE_STATS_ENABLED": "0",
        }

    def run(self, *command: str) -> str:
        done = run_command(command, cwd=self.work, env=self.env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def serving(self, *flags: str) -> Iterator[str]:
        port = str(free_port())
        command = [str(self.bin / "thinkbudget"), "serve", "--port", port, *flags]
        with (self.work / "serve.log").open("w+") as log:
            process = subprocess.Popen(
                command, cwd=self.work, env=self.env, stdout=log, stderr=log, start_new_session=True
            )
            url = f"http://127.0.0.1:{port}"
            try:
                ends = time.monotonic() + START_SECONDS
                while process.poll() is None and time.monotonic() < ends and not is_up(url):
                    time.sleep(0.3)
                log.seek(0)
                assert is_up(url), log.read()
                yield url
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(timeout=90)


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("clean"), wheel)


def test_the_wheel_has_every_file_of_its_folders(wheel: Path) -> None:
    assert wheel.name == f"thinkbudget-{VERSION}-py3-none-any.whl"
    tracked = subprocess.run(
        ["git", "ls-files", *SOURCES], cwd=ROOT, capture_output=True, text=True
    )
    if tracked.returncode != 0:
        pytest.skip("no git repository says which files belong to the project")
    with zipfile.ZipFile(wheel) as packed:
        names = {name for name in packed.namelist() if ".dist-info/" not in name}
    assert names == set(tracked.stdout.split())


def test_it_runs_away_from_the_source_tree(installed: Installed) -> None:
    assert installed.run("thinkbudget", "--version") == f"thinkbudget, version {VERSION}\n"
    module, package, tensors = installed.run("python", "-c", LOADED).split()
    assert all(str(installed.bin.parent) in place for place in (module, package))
    assert int(tensors) > 10
    (installed.work / "in.jsonl").write_text('{"id": "1", "question": "easy question"}\n')
    assert "1" in installed.run("thinkbudget", "batch", "check", "in.jsonl")


def test_it_serves_an_answer_and_its_pages(installed: Installed) -> None:
    body = {"model": "simulated", "messages": [{"role": "user", "content": "easy question"}]}
    with installed.serving("--engine", "simulated", "--model", "simulated") as url:
        reply = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60)
        assert reply.status_code == 200, reply.text
        assert reply.json()["choices"][0]["message"]["content"]
        assert httpx.get(f"{url}/version").json()["version"] == VERSION
        for page in ("/ui/", "/docs"):
            assert httpx.get(f"{url}{page}").headers["content-type"].startswith("text/html")
