"""The files of the pages at /ui and /docs. They hold nothing of the server, and need no key."""

import hashlib
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

ROOT: Final = "/ui"
_TYPES: Final = {
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "views.js": "text/javascript; charset=utf-8",
    "charts.js": "text/javascript; charset=utf-8",
    "dom.js": "text/javascript; charset=utf-8",
    "key.js": "text/javascript; charset=utf-8",
    "ask.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "docs.html": "text/html; charset=utf-8",
    "docs.js": "text/javascript; charset=utf-8",
}
_DOCS: Final = "/docs"
_OF_DOCS: Final = ("docs.js", "page.css", "dom.js", "key.js", "icon.svg")
PATHS: Final = {
    f"{ROOT}/{'' if name == 'index.html' else name}": name
    for name in _TYPES
    if not name.startswith("docs.")
} | {ROOT: "index.html"}
"""The path of every file of the live page, and its name."""

DOCS_PATHS: Final = {_DOCS: "docs.html"} | {f"{_DOCS}/{name}": name for name in _OF_DOCS}
"""Those of the page that shows the OpenAPI document."""

HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}
"""Of every file: no script, style or address but the page's own, and no frame round it."""


class PageFile(NamedTuple):
    body: bytes
    media_type: str
    etag: str


@cache
def page_file(name: str) -> PageFile:
    """A file of the page, read once. Raises KeyError for a name that it does not have."""
    media_type = _TYPES[name]
    body = (files(__package__) / "static" / name).read_bytes()
    return PageFile(body, media_type, f'"{hashlib.sha256(body).hexdigest()[:16]}"')
