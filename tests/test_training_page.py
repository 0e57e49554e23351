"""What docs/training.md tells to type: commands and options exist, settings are read.

The page's commands that neither train nor serve are run as they are written, block by block.
"""

import asyncio
import importlib.util
import json
import re
import shlex
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scheduler.simulation import client_of, make_controller
from tests.test_guides import (
    DOCS,
    ROOT,
    blocks,
    check_command,
    lines_of,
    requests_of,
    run_as_written,
)
from training.curate.settings import read_settings as read_curation
from training.sft.settings import read_settings as read_fine_tuning

PAGE = DOCS / "training.md"
NAMED = re.compile(r"`((?:thinkbudget|python -m) [^`]+)`")
"""Commands within sentences."""
LEFT_OUT = re.compile(
    r"thinkbudget serve"  # runs until it is stopped
    r"|train sft (?!.*--check)"
    r"|^ray "
    r"|^curl"
    r"|from-outcomes"  # reads a server's log
    r"|pocket-study|\.measure "  # train, and start engines
)


def commands() -> list[list[str]]:
    """The words of every command of the page, without variables set before it."""
    text = PAGE.read_text(encoding="utf-8")
    lines = [line for block in blocks(PAGE) for line in lines_of(block.text)]
    found = []
    for line in [*lines, *NAMED.findall(text)]:
        words = [word for word in shlex.split(line) if not re.match(r"[A-Z_]+=", word)]
        if "--" in words[:4]:  # ray job submit -- COMMAND
            words = words[words.index("--") + 1 :]
        found.append(words)
    return found


def test_commands_and_options_exist() -> None:
    ours = [words[1:] for words in commands() if words[0] == "thinkbudget"]
    assert len(ours) > 10
    for words in ours:
        check_command(words)


@pytest.mark.slow
def test_modules_and_their_options_exist() -> None:
    modules = [words[2:] for words in commands() if words[0].endswith("python")]
    assert len(modules) > 2
    for module, *words in modules:
        assert importlib.util.find_spec(module), module
        options = {word.split("=")[0] for word in words if word.startswith("-")}
        if not options:
            continue
        shown = subprocess.run(
            [sys.executable, "-m", module, "--help"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert options <= set(re.findall(r"--?[a-z][a-z-]*", shown)), (module, options)


def test_settings_of_the_page_are_read(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    tables = re.findall(r"^```toml\n(.*?)^```", text, re.M | re.S)
    assert len(tables) == 2
    for number, table in enumerate(tables):
        path = tmp_path / f"{number}.toml"
        path.write_text(table)
        is_curation = "sources" in tomllib.loads(table)
        (read_curation if is_curation else read_fine_tuning)(path)


def test_the_request_of_the_page_is_answered() -> None:
    ((path, body),) = requests_of(PAGE)

    async def status() -> int:
        controller = await make_controller(policy="priced")
        async with client_of(controller) as client:
            reply = await client.post(path, json=body | {"model": controller.info.model})
            return reply.status_code

    assert asyncio.run(status()) == 200


@pytest.fixture
def short_home() -> Iterator[Path]:
    """Paths of Ray's sockets, which lie in it, may have 107 bytes."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.mark.slow
def test_commands_that_train_nothing_run(tmp_path: Path, short_home: Path) -> None:
    folder, home = tmp_path / "work", short_home
    folder.mkdir()
    (folder / "examples").symlink_to(ROOT / "examples")
    # The page's `sft.toml` stands for any settings: here for those of the rows just curated.
    sft = (ROOT / "examples" / "pocket_sft.toml").read_text(encoding="utf-8")
    (folder / "sft.toml").write_text(sft.replace('"curated/', '"tuning/curated/'))
    ran = []
    for block in blocks(PAGE):
        lines = [line for line in lines_of(block.text) if not LEFT_OUT.search(line)]
        if lines := [line for line in lines if line]:
            run_as_written("\n".join(lines), folder, home)
            ran += lines
    assert len(ran) >= 10
    curated = json.loads((folder / "tuning/curated/select-random/manifest.json").read_text())
    assert curated["rows_out"] == 200
    assert not (folder / "tuning" / "tuned" / "model").exists()
