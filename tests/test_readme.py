"""The commands and options of the README and of docs/experiments.md exist.

The README's experiment is ready to run as it is written.
"""

import re
import shlex
from pathlib import Path

import pytest

from tests.test_guides import DOCS, ROOT, blocks, check_command, lines_of, run_as_written

README = ROOT / "README.md"


@pytest.mark.parametrize("page", [README, DOCS / "experiments.md"], ids=lambda path: path.stem)
def test_commands_and_options_exist(page: Path) -> None:
    lines = [line for block in blocks(page) for line in lines_of(block.text)]
    ours = [shlex.split(line) for line in lines if line.startswith(".venv/bin/thinkbudget")]
    assert len(ours) > 6
    for words in ours:
        check_command(words[1:])


@pytest.mark.slow
def test_the_experiment_is_ready_to_run(tmp_path: Path) -> None:
    text = README.read_text(encoding="utf-8")
    (experiment,) = re.findall(r"^```toml\n(# experiment\.toml.*?)^```", text, re.M | re.S)
    folder, home = tmp_path / "work", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    (folder / "experiment.toml").write_text(experiment)
    (block,) = [each.text for each in blocks(README) if "experiment run" in each.text]
    before, run, _ = (line.removeprefix(".venv/bin/") for line in lines_of(block))
    run_as_written(f"{before}\n{run} --dry-run | grep '800 questions in all'", folder, home)
