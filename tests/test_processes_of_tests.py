"""A test that ends its process fails; the others run."""

import os
import sys
from pathlib import Path

import pytest

from tests.commands import run_command

ROOT = Path(__file__).parents[1]
CONFTEST = """
from tests.by_folder import ByFolder

def pytest_xdist_make_scheduler(config, log):
    return ByFolder(config, log)

def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: "real" in item.nodeid)
"""
FINE = "import pytest\n@pytest.mark.parametrize('n', range(4))\ndef test_fine(n): pass\n"
ENDS = "import os\ndef test_1(): pass\ndef test_2(): os._exit(1)\ndef test_3(): pass\n"


def test_a_test_that_ends_its_process_is_the_only_one_that_fails(tmp_path: Path) -> None:
    for name, text in {
        "conftest.py": CONFTEST,
        "tests/test_a.py": FINE,
        "tests/test_b.py": FINE,
        "tests/test_c.py": FINE,
        "tests/real/cluster/test_d.py": ENDS,
        "tests/real/engine/test_e.py": FINE,
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:schemathesis",
               "--import-mode=importlib", "--no-loadscope-reorder", "-n", "2"]  # fmt: skip
    done = run_command(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 1, done.stdout
    assert "FAILED tests/real/cluster/test_d.py::test_2" in done.stdout
    assert "1 failed, 18 passed" in done.stdout


def test_a_command_ends_in_time_whatever_it_has_started() -> None:
    fine = run_command(["sh", "-c", "sleep 30 & echo done; exit 3"], seconds=10)
    assert (fine.returncode, fine.stdout) == (3, "done\n")
    with pytest.raises(AssertionError, match="not done after 0.5 s.*\n.*begun"):
        run_command(["sh", "-c", "echo begun; sleep 30"], seconds=0.5)
