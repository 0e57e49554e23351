"""The layering: who may import whom, which files may import a heavy library, how long a file is."""

import ast
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("policies", "workers", "scheduler", "training", "benchmarks")

# What each folder may import of ours besides itself: folders, or single modules. The more specific
# row counts. A folder that is not here may import nothing of ours.
CONTRACT = {"policies.base", "policies.plan", "policies.signals", "policies.tally"}
MAY_IMPORT = {
    "policies": {"policies.curves"},
    "policies.curves": CONTRACT,
    "workers": {
        "policies.answer_spec",
        "policies.plan",
        "policies.sampling",
        "policies.signals",
        "workers.answers",
        "workers.forcing",
    },
    "workers.forcing": {"policies.plan", "policies.signals", "workers.format"},
    "workers.drivers": {
        "policies.plan",
        "policies.sampling",
        "policies.signals",
        "workers.answers",
        "workers.completion",
        "workers.context_length",
        "workers.engine",
        "workers.forcing",
        "workers.format",
        "workers.prompt",
        "workers.sample",
        "workers.side_by_side",
    },
    "workers.answers": {
        "policies.answer_spec",
        "policies.sampling",
        "workers.engine",
        "workers.sample",
    },
    "workers.simulated": {"policies.plan", "policies.sampling", "policies.signals", "workers"},
    "workers.verifier": {"workers.format", "workers.models", "workers.prompt"},
    "workers.vllm": {"policies.sampling", "workers"},
    "scheduler.errors": set[str](),
    "scheduler.json_body": {"scheduler.errors"},
    "scheduler.logs": set[str](),
    "scheduler.manifest": set[str](),
    "scheduler.progress": set[str](),
    "scheduler.settings": set[str](),
    "scheduler.policy_file": {"policies"},
    "scheduler.admission": {"policies", "scheduler.errors", "scheduler.settings"},
    "scheduler.curves": {"policies", "scheduler.settings"},
    "scheduler.store": {
        "scheduler.store.migrations",
        "scheduler.store.settings",
        "scheduler.progress",
        "scheduler.settings",
        "scheduler.solving.outcome",
        "scheduler.solving.outcome_sink",
    },
    "scheduler.store.migrations": set[str](),
    "scheduler.store.settings": {"scheduler.settings"},
    "scheduler.tracing": {"workers", "scheduler.engines.pool", "scheduler.tracing.settings"},
    "scheduler.tracing.settings": {"scheduler.settings"},
    "scheduler.model_config": {"policies", "workers", "scheduler.settings"},
    "scheduler.config": {
        "policies",
        "workers",
        "scheduler.admission",
        "scheduler.curves",
        "scheduler.logs",
        "scheduler.model_config",
        "scheduler.settings",
        "scheduler.store.settings",
        "scheduler.tracing.settings",
    },
    "scheduler.engines": {
        "policies.base",
        "policies.sampling",
        "policies.signals",
        "workers",
        "scheduler.errors",
        "scheduler.config",
    },
    "scheduler.solving": {
        "policies",
        "workers",
        "scheduler.admission",
        "scheduler.curves",
        "scheduler.errors",
        "scheduler.config",
        "scheduler.settings",
        "scheduler.tracing",
    },
    "scheduler.api": {
        "policies",
        "workers",
        "scheduler.admission",
        "scheduler.curves",
        "scheduler.errors",
        "scheduler.config",
        "scheduler.settings",
        "scheduler.json_body",
        "scheduler.solving",
    },
    "scheduler.reloading": {"scheduler.config", "scheduler.engines.adapters"},
    "scheduler.startup": {
        "policies",
        "scheduler.admission",
        "scheduler.api",
        "scheduler.config",
        "scheduler.policy_file",
        "scheduler.settings",
        "scheduler.curves",
        "scheduler.engines",
        "scheduler.store.opening",
        "scheduler.tracing",
    },
    "scheduler.client": {
        "policies",
        "workers.answers",
        "workers.engine",
        "scheduler.api",
        "scheduler.config",
        "scheduler.policy_file",
        "scheduler.settings",
        "scheduler.curves",
        "scheduler.engines",
        "scheduler.errors",
        "scheduler.solving",
        "scheduler.store",
        "scheduler.tracing",
    },
    "scheduler.batch": {
        "policies",
        "workers.engine",
        "scheduler.api",
        "scheduler.client",
        "scheduler.curves",
        "scheduler.config",
        "scheduler.errors",
        "scheduler.json_body",
        "scheduler.manifest",
        "scheduler.progress",
        "scheduler.solving",
        "scheduler.store.opening",
        "scheduler.store.records",
        "scheduler.store.settings",
    },
    "scheduler.experiments": {
        "policies",
        "workers",
        "scheduler.client",
        "scheduler.config",
        "scheduler.errors",
        "scheduler.policy_file",
        "scheduler.settings",
        "scheduler.curves",
        "scheduler.engines",
        "scheduler.manifest",
        "scheduler.progress",
        "scheduler.solving",
    },
    "scheduler.cluster": {
        "policies",
        "workers",
        "scheduler.admission",
        "scheduler.api",
        "scheduler.batch.places.served",
        "scheduler.config",
        "scheduler.policy_file",
        "scheduler.reloading",
        "scheduler.settings",
        "scheduler.curves",
        "scheduler.engines",
        "scheduler.errors",
        "scheduler.logs",
        "scheduler.solving",
        "scheduler.startup",
        "scheduler.store",
        "scheduler.tracing",
    },
    "scheduler.cli": {"policies", "workers", "scheduler"},
    "training": {
        "policies",
        "workers.format",
        "workers.models",
        "workers.prompt",
        "scheduler.cli.options",
        "scheduler.store.queries",
        "training.curate",
        "training.plan",
        "training.pocket",
        "training.sft",
    },
    "training.pocket": {
        "workers.format",
        "policies.rewards",
        "workers.models",
        "workers.verifier",
        "scheduler.errors",
        "scheduler.progress",
        "training.sft.formatting",
    },
    "training.curate": {
        "workers.answers",
        "workers.models",
        "scheduler.client",
        "scheduler.config",
        "scheduler.errors",
        "scheduler.progress",
        "scheduler.settings",
        "scheduler.solving.outcome",
    },
    "training.sft": {
        "policies.conditional",
        "workers.format",
        "workers.models",
        "workers.prompt",
        "scheduler.manifest",
        "scheduler.progress",
        "scheduler.settings",
        "training.curate.manifest",
    },
    "training.plan": {"training.sft", "workers.models"},
    "benchmarks": {"policies", "workers", "scheduler", "training.curate", "training.sft"},
}

# Heavy libraries, and the only files that may import them.
IMPORTERS = {
    "vllm": {"workers/vllm/", "training/pocket/forcer.py"},
    "transformers": {"workers/vocabulary.py", "workers/verifier/", "training/"},
    "ray": {
        "scheduler/cluster/",
        "scheduler/experiments/ray_cells.py",
        "training/curate/ray_bulk.py",
        "training/sft/launch.py",
    },
    "inspect_ai": {"scheduler/experiments/inspect_log.py"},
    "datasets": {
        "scheduler/experiments/questions/hub.py",
        "training/curate/reading.py",
        "training/sft/examples.py",
    },
    "deepspeed": {"training/sft/worker.py"},
    "reasoning_gym": {"scheduler/experiments/questions/reasoning_gym.py"},
    "fsspec": {"scheduler/batch/storage.py"},
    "pyarrow": {
        "scheduler/batch/inputs/files.py",
        "scheduler/experiments/results.py",
        "scheduler/experiments/questions/files.py",
        "scheduler/store/copying.py",
        "training/",
    },
    "datasketch": {"training/curate/duplicates.py"},
    "jinja2": {"scheduler/experiments/html_page.py"},
    "matplotlib": {
        "scheduler/experiments/charts/",
        "scheduler/experiments/s1_study/figures.py",
        "training/pocket/picture.py",
    },
    "pydantic": {
        "scheduler/settings.py",
        "scheduler/config.py",
        "scheduler/model_config.py",
        "scheduler/admission/",
        "scheduler/curves/feedback.py",
        "scheduler/experiments/settings.py",
        "scheduler/store/settings.py",
        "scheduler/tracing/settings.py",
        "scheduler/api/openapi.py",
        "scheduler/api/tokens.py",
        "scheduler/api/anthropic/shape.py",
        "scheduler/api/completions_shape.py",
        "scheduler/api/batches/batches.py",
        "scheduler/api/feedback.py",
        "scheduler/api/keys.py",
        "scheduler/api/protocol.py",
        "scheduler/api/responses/shape.py",
        "scheduler/api/messages.py",
        "scheduler/solving/continuing.py",
        "training/curate/settings.py",
        "training/sft/settings.py",
        "workers/models.py",
    },
    "math_verify": {"workers/answers/math_process.py", "benchmarks/grading.py"},
    "opentelemetry": {"scheduler/tracing/spans.py"},
    "prometheus_client": {"scheduler/solving/metrics.py"},
    "fastapi": {
        "scheduler/api/app.py",
        "scheduler/api/batches/routes.py",
        "scheduler/api/openapi.py",
        "scheduler/cluster/gateway.py",
    },
    "openai": {"scheduler/client/http_client.py"},
    "httpx": {"workers/verifier/endpoint.py", "benchmarks/"},
    "sklearn": {"scheduler/curves/query_classes.py"},
    "sqlalchemy": {"scheduler/store/"},
    "alembic": {"scheduler/store/"},
    "psycopg": set[str](),
    "click": {
        "thinkbudget.py",
        "scheduler/cli/",
        "training/train_command.py",
        "training/curate_command.py",
    },
}
PURE = {"asyncio", "time", "datetime", "os", "pathlib", "socket", "threading", "torch", "ray"}
LONGEST = 320


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> set[str]:
    """Full names of the modules that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names.add(node.module or "")
    return names


@cache
def modules(path: Path) -> set[str]:
    """Full names of our modules that a file imports, `from folder import module` included."""
    names = set()
    for name in imports(path):
        folder = ROOT / name.replace(".", "/")
        if folder.is_dir() and name.split(".")[0] in FOLDERS:
            found = {f"{name}.{part}" for part in imported_from(path, name)}
            names |= {part for part in found if exists(part)} or {name}
        else:
            names.add(name)
    return names


@cache
def imported_from(path: Path, package: str) -> set[str]:
    tree = tree_of(path)
    return {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == package
        for alias in node.names
    }


@cache
def exists(module: str) -> bool:
    path = ROOT / module.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def within(module: str, places: set[str]) -> bool:
    """Whether a module is one of the places, or inside one."""
    parts = module.split(".")
    return any(".".join(parts[:n]) in places for n in range(1, len(parts) + 1))


def row_of(path: Path) -> str:
    """The most specific row of MAY_IMPORT that a file is in."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    rows = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
    return next(row for row in rows if row in MAY_IMPORT)


@pytest.mark.parametrize("folder", FOLDERS)
def test_imports_run_in_one_direction(folder: str) -> None:
    for path in sources(folder):
        if path.read_text(encoding="utf-8").strip():
            row = row_of(path)
            for name in modules(path):
                if name.split(".")[0] in FOLDERS and own_row(name) != row:
                    allowed = within(name, MAY_IMPORT[row])
                    assert allowed, f"{path.relative_to(ROOT)} imports {name}"


def own_row(module: str) -> str:
    return row_of(ROOT / (module.replace(".", "/") + ".py"))


def test_modules_of_ours_import_each_other_in_no_circle() -> None:
    """By module, which is finer than by folder: a circle would be an arrow back."""
    graph = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): modules(path)
        for path in sources(*FOLDERS)
    }
    done: set[str] = set()

    def visit(name: str, under: tuple[str, ...]) -> None:
        assert name not in under, " -> ".join([*under, name])
        if name in graph and name not in done:
            for other in graph[name]:
                visit(other, (*under, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def within_files(path: Path, places: set[str]) -> bool:
    name = str(path.relative_to(ROOT))
    return any(name == place or (place[-1] == "/" and name.startswith(place)) for place in places)


@pytest.mark.parametrize("library", IMPORTERS)
def test_a_heavy_library_is_imported_in_few_files(library: str) -> None:
    files = [*sources(*FOLDERS[:-1]), ROOT / "thinkbudget.py"]
    for path in files:
        if library in {name.split(".")[0] for name in imports(path)}:
            assert within_files(path, IMPORTERS[library]), f"{path} imports {library}"


def test_policies_have_no_clock_no_files_and_no_network() -> None:
    for path in sources("policies"):
        touched = PURE & {name.split(".")[0] for name in imports(path)}
        assert not touched, f"{path.relative_to(ROOT)} imports {touched}"


def test_no_module_is_too_long_to_be_one_idea() -> None:
    files = [*sources(*FOLDERS), ROOT / "thinkbudget.py"]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert {name: n for name, n in lengths.items() if n > LONGEST} == {}


def defined_names(path: Path) -> set[str]:
    """Public classes, and aliases of types, that a file defines at its top level."""
    names = set()
    for node in tree_of(path).body:
        if isinstance(node, ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {each.id for each in targets if isinstance(each, ast.Name)}
    return {name for name in names if name[0].isupper() and not name.isupper()}


def test_the_name_of_a_class_is_unique() -> None:
    files: dict[str, list[str]] = {}
    for path in sources("policies", "workers", "scheduler"):
        for name in defined_names(path):
            files.setdefault(name, []).append(str(path.relative_to(ROOT)))
    twice = {name: found for name, found in files.items() if len(found) > 1}
    assert twice == {}


def test_the_core_loop_fits_one_screen() -> None:
    tree = ast.parse((ROOT / "scheduler" / "solving" / "solve.py").read_text(encoding="utf-8"))
    solve = next(n for n in tree.body if isinstance(n, ast.AsyncFunctionDef) and n.name == "solve")
    assert solve.end_lineno is not None
    assert solve.end_lineno - solve.lineno < 40


def test_no_other_distribution_claims_our_names() -> None:
    owners = packages_distributions()
    for name in (*FOLDERS[:-1], "thinkbudget"):
        assert set(owners.get(name, ["thinkbudget"])) == {"thinkbudget"}
