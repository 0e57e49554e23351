"""The documentation site: written pages are up to date, links lead somewhere, the menu has all."""

import importlib.util
import os
import posixpath
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from scheduler.cli.reference_pages import FOLDER, pages
from thinkbudget import main

ROOT = Path(__file__).parents[1]


def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_links", ROOT / "deploy" / "site_links.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SOURCES = [*sorted((ROOT / "docs").rglob("*.md")), *(ROOT / source for source in hook().PAGES)]


class Files:
    """As mkdocs knows them."""

    def get_file_from_path(self, path: str) -> str | None:
        return path if (ROOT / "docs" / path).is_file() or path in hook().PAGES.values() else None


@pytest.mark.parametrize("name", ["commands.md", "metrics.md", "python.md", "request-fields.md"])
def test_reference_pages_are_those_of_the_code(name: str) -> None:
    committed = (FOLDER / name).read_text(encoding="utf-8")
    assert committed == pages(main)[name], "run: python -m scheduler.cli.reference_pages"


def anchors_of(page: Path) -> set[str]:
    """As GitHub and mkdocs name headings; equal ones are numbered, which no link needs here."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    titles = re.findall(r"^#+ (.*)$", text, re.M)
    return {
        re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in titles
    }


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(source: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", source.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = source.parent / path if path else source
        assert found.exists(), target
        assert not anchor or anchor in anchors_of(found), target


def test_the_site_is_built_without_a_broken_link(tmp_path: Path) -> None:
    if importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("material") is None:
        pytest.skip("needs mkdocs and mkdocs-material (extra docs); `make site` builds the same")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "index.html").is_file()


def test_the_changelog_has_the_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    titles = re.findall(r"^## \[(.+?)\](.*)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert titles[0] == ("Unreleased", "")
    assert titles[1][0] == project["version"]
    assert re.fullmatch(r" - \d{4}-\d\d-\d\d", titles[1][1])


def test_every_page_is_in_the_menu_once() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")

    def leaves(node: Any) -> list[str]:
        if isinstance(node, str):
            return [node]
        inner = node.values() if isinstance(node, dict) else node
        return [leaf for each in inner for leaf in leaves(each)]

    menu = leaves(yaml.safe_load(text)["nav"])
    docs = ROOT / "docs"
    written = {str(path.relative_to(docs)) for path in docs.rglob("*.md")}
    assert sorted(menu) == sorted(written | set(hook().PAGES.values()))


@pytest.mark.parametrize(
    ("source", "page", "link", "becomes"),
    [
        ("README.md", "index.md", "[s](docs/serving.md#sampling)", "[s](serving.md#sampling)"),
        ("docs/serving.md", "serving.md", "[s](../SECURITY.md)", "[s](security.md)"),
        ("docs/design/curves.md", "design/curves.md", "[p](../policies.md)", "[p](../policies.md)"),
        ("docs/training.md", "training.md", "[t](../examples/curation.toml)",
         "t (`examples/curation.toml`)"),
        ("README.md", "index.md", "[paper](https://arxiv.org/abs/2501.19393)",
         "[paper](https://arxiv.org/abs/2501.19393)"),
        ("docs/a.md", "a.md", "[lost](lost.md)", "[lost](lost.md)"),
    ],
)  # fmt: skip
def test_links_of_the_repository_become_those_of_the_site(
    source: str, page: str, link: str, becomes: str
) -> None:
    module = hook()
    match = module.LINK.search(link)
    assert module.rewritten(match, source, page, Files()) == becomes
    assert posixpath.normpath(source) == source
