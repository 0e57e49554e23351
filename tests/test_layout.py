"""The walls of the house: who may import whom, one door per heavy library, no name taken twice."""

import ast
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("policies", "workers", "scheduler", "training")

# What each folder may import of ours, besides itself.
MAY_IMPORT = {
    "policies": set[str](),
    "workers": set[str](),
    "scheduler": {"policies", "workers"},
    "training": {"policies", "workers.format", "scheduler.outcome"},
}

# Heavy libraries, and the only files that may import them.
DOORS = {
    "vllm": {
        "workers/vllm_core.py",
        "workers/vllm_processor.py",
        "training/pocket_curves.py",
    },
    "ray": {
        "scheduler/cluster/bookkeeper.py",
        "scheduler/cluster/launch.py",
        "scheduler/cluster/remote.py",
        "scheduler/cluster/replica.py",
        "scheduler/cluster/routing.py",
        "scheduler/cluster/serve.py",
        "scheduler/cluster/unreachable.py",
    },
    "matplotlib": {"scheduler/picture.py", "training/pocket_picture.py"},
    "pydantic": {
        "scheduler/api/openapi.py",
        "scheduler/api/completions_shape.py",
        "scheduler/api/feedback.py",
        "scheduler/api/protocol.py",
        "scheduler/api/responses_shape.py",
        "scheduler/api/turns.py",
    },
    "prometheus_client": {"scheduler/metrics.py"},
    "fastapi": {
        "scheduler/api/app.py",
        "scheduler/api/openapi.py",
        "scheduler/cluster/serve.py",
    },
    "httpx": {"scheduler/client.py"},
    "sklearn": {"scheduler/query_classes.py"},
    "click": {
        "thinkbudget.py",
        "scheduler/api/keys_command.py",
        "scheduler/curves_command.py",
        "scheduler/flags.py",
    },
}
PURE = {"asyncio", "time", "datetime", "os", "pathlib", "socket", "threading", "torch", "ray"}
LONGEST = 320


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def imports(path: Path) -> set[str]:
    """Full names of the modules that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("folder", FOLDERS)
def test_imports_run_in_one_direction(folder: str) -> None:
    for path in sources(folder):
        for name in imports(path):
            top = name.split(".")[0]
            if top in FOLDERS and top != folder:
                allowed = {top, name} & MAY_IMPORT[folder]
                assert allowed, f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("library", DOORS)
def test_a_heavy_library_has_its_doors_and_no_others(library: str) -> None:
    files = [*sources(*FOLDERS), ROOT / "thinkbudget.py"]
    found = {
        str(path.relative_to(ROOT))
        for path in files
        if library in {name.split(".")[0] for name in imports(path)}
    }
    assert found <= DOORS[library]


def test_policies_have_no_clock_no_files_and_no_network() -> None:
    for path in sources("policies"):
        touched = PURE & {name.split(".")[0] for name in imports(path)}
        assert not touched, f"{path.relative_to(ROOT)} imports {touched}"


def test_no_module_is_too_long_to_be_one_idea() -> None:
    files = [*sources(*FOLDERS, "benchmarks"), ROOT / "thinkbudget.py"]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert {name: n for name, n in lengths.items() if n > LONGEST} == {}


def test_the_heart_fits_one_screen() -> None:
    tree = ast.parse((ROOT / "scheduler" / "solve.py").read_text(encoding="utf-8"))
    solve = next(n for n in tree.body if isinstance(n, ast.AsyncFunctionDef) and n.name == "solve")
    assert solve.end_lineno is not None
    assert solve.end_lineno - solve.lineno < 40


def test_no_other_distribution_claims_our_names() -> None:
    owners = packages_distributions()
    for name in (*FOLDERS, "thinkbudget"):
        assert set(owners.get(name, ["thinkbudget"])) == {"thinkbudget"}
