"""A hook of mkdocs: pages of the repository outside docs/, and links as the repository has them.

README.md and the like are read where they lie, not copied. Links to files that are no pages, such
as those of code, become their names.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
    "training/pocket/README.md": "s1-pocket.md",
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files: Any, config: Any) -> Any:
    from mkdocs.structure.files import File

    for source, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    sources = {page: source for source, page in PAGES.items()}
    place = sources.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    return LINK.sub(lambda link: rewritten(link, place, page.file.src_uri, files), markdown)


def rewritten(link: re.Match[str], place: str, page: str, files: Any) -> str:
    """A link of the file `place` of the repository, as the site's page needs it."""
    image, text, target = link.groups()
    path, _, anchor = target.partition("#")
    if not path or re.match(r"[a-z]+:", target):
        return link[0]
    found = posixpath.normpath(posixpath.join(posixpath.dirname(place), path))
    there = PAGES.get(found, found.removeprefix("docs/") if found.startswith("docs/") else "")
    if there and files.get_file_from_path(there) is not None:
        near = posixpath.relpath(there, posixpath.dirname(page) or ".")
        return f"{image}[{text}]({near}{'#' + anchor if anchor else ''})"
    if not (ROOT / found).exists():
        return link[0]  # mkdocs says that it leads nowhere
    return text if text.startswith("`") else f"{text} (`{found}`)" if text != found else f"`{text}`"
