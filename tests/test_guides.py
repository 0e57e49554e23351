"""Every command of the tutorial and the guides is run, or says what it needs.

A block of `sh` without a marker is run, in order, in an empty folder. A marker such as
`<!-- needs: gpu -->` before it says why not: its commands and flags are looked up then, and bodies
of requests are sent to a server in this process.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import httpx
import pytest

from tests.scheduler.simulation import client_of, make_controller
from thinkbudget import main
from workers.simulated.clock import run_virtual

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
GUIDES = [DOCS / "tutorial.md", *sorted((DOCS / "guides").glob("*.md")), DOCS / "deploying.md"]
NEEDS = {"cluster", "docker", "gpu", "install", "kubernetes", "server"}
BLOCK = re.compile(
    r"(?:^ *<!-- needs: (\w+) -->\n)?^ *```(?:sh|bash|console|shell)\n(.*?)^ *```", re.M | re.S
)
TOUCHES = re.compile(r"~|\$HOME|[\s>=\"']/\w|\bsudo\b|\bray \w|\bserve deploy\b|docker|kubectl")


class Block(NamedTuple):
    """`needs` is empty where it can be run here."""

    needs: str
    text: str


def blocks(guide: Path) -> list[Block]:
    return [Block(m[1] or "", m[2]) for m in BLOCK.finditer(guide.read_text(encoding="utf-8"))]


def lines_of(text: str) -> Iterator[str]:
    """Whole command lines, without comments and the texts of files."""
    text = re.sub(r"-d '.*?'", "", text, flags=re.S)
    text = re.sub(r"<<'(\w+)'.*?^\1$", "", text.replace("\\\n", " "), flags=re.M | re.S)
    for line in text.splitlines():
        yield from (part.strip() for part in re.sub(r"\s+#.*", "", line).split("&&"))


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_what_a_block_needs_is_one_of_few_things(guide: Path) -> None:
    found = blocks(guide)
    assert found
    assert {block.needs for block in found} <= NEEDS | {""}
    fences = re.findall(r"^ *```(?:sh|bash|console|shell)$", guide.read_text(), re.M)
    assert len(fences) == len(found)


def test_what_changes_a_machine_is_never_run() -> None:
    for guide in GUIDES:
        for block in blocks(guide):
            touches = TOUCHES.search(block.text)
            assert block.needs or not touches, block.text


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_commands_and_flags_exist(guide: Path) -> None:
    for block in blocks(guide):
        for line in lines_of(block.text):
            words = [word for word in shlex.split(line) if not re.match(r"[A-Z_]+=", word)]
            if words[:1] == ["thinkbudget"]:
                check_command(words[1:])
            elif words[:1] == ["make"]:
                assert f"\n{words[1]}:" in (ROOT / "Makefile").read_text(encoding="utf-8")


def check_command(words: list[str]) -> None:
    """A command, or in a sentence a group of commands, is there and takes these flags."""
    command: click.Command = main
    while isinstance(command, click.Group) and words:
        assert words[0] in command.commands, words
        command = command.commands[words.pop(0)]
    flags = {flag for one in command.params for flag in getattr(one, "opts", ())}
    assert {word.split("=")[0] for word in words if word.startswith("-")} <= flags, words


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where commands keep what is theirs; one for all guides, as matplotlib's fonts take long."""
    return tmp_path_factory.mktemp("home")


@pytest.mark.slow
@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_blocks_without_a_need_run(guide: Path, tmp_path: Path, home: Path) -> None:
    runnable = [block.text for block in blocks(guide) if not block.needs]
    if not runnable:
        return
    folder = tmp_path / "work"
    folder.mkdir()
    run_as_written("\n".join(runnable), folder, home)


def run_as_written(commands: str, folder: Path, home: Path) -> None:
    """Runs shell commands in a folder; `thinkbudget` and `python` are those of this test."""
    programs = home / "bin"
    programs.mkdir(exist_ok=True)
    for name, what in (("thinkbudget", " -m thinkbudget"), ("python", "")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}"{what} "$@"\n')
        program.chmod(0o755)
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", commands],
        cwd=folder,
        # Nothing of this machine's own is inherited: what is kept, is kept in `home`.
        env={
            "HF_HUB_OFFLINE": "1",
            "HOME": str(home),
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "REPOSITORY": str(ROOT),
            "TMPDIR": str(home),
        },
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def requests_of(guide: Path) -> list[tuple[str, dict[str, Any]]]:
    """The paths and bodies that curl is told to send."""
    found = []
    for block in blocks(guide):
        if "curl" in block.text:
            words = shlex.split(block.text.replace("\\\n", " "))
            (url,) = [word for word in words if word.startswith("http://")]
            found.append((url.removeprefix("http://127.0.0.1:8000"), json.loads(words[-1])))
    return found


@pytest.mark.parametrize("guide", [g for g in GUIDES if requests_of(g)], ids=lambda path: path.stem)
def test_requests_are_answered(guide: Path) -> None:
    async def replies() -> list[httpx.Response]:
        controller = await make_controller(policy="priced")
        outcome, found = "", []
        async with client_of(controller) as client:
            for path, body in requests_of(guide):
                if "outcome_id" in body:
                    body["outcome_id"] = outcome
                else:
                    body["model"] = controller.info.model
                reply = await client.post(path, json=body)
                outcome = reply.json().get("thinkbudget", {}).get("outcome_id", outcome)
                found.append(reply)
        return found

    for reply in run_virtual(replies()):
        assert reply.status_code == 200, reply.text
        assert "x-thinkbudget-ignored-fields" not in reply.headers
