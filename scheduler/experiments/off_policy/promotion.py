"""Makes the candidate of a settings file its policy. The rest of the file stays as it is."""

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

_HEADER = re.compile(r"\s*\[+\s*([^\]]+?)\s*\]+\s*(#.*)?$")
_KEY = re.compile(r"""\s*["']?([\w-]+)["']?\s*[.=]""")
_REPLACED = ("policy", "rollout")


def promote(path: Path) -> Path:
    """Write the settings with the candidate as their policy; where the old ones are kept.

    Raises ValueError for a file in which that cannot be done line by line.
    """
    text = path.read_text(encoding="utf-8")
    changed = promoted(text)
    kept = path.with_name(path.name + ".before")
    kept.write_text(text, encoding="utf-8")
    partial = path.with_name(path.name + ".partial")
    partial.write_text(changed, encoding="utf-8")
    partial.replace(path)
    return kept


def promoted(text: str) -> str:
    """The text of the settings with the candidate as their policy, and without the split."""
    table = tomllib.loads(text)
    rollout = table["rollout"]
    policy = {"name": rollout["name"]}
    if options := rollout.get("options"):
        policy["options"] = options
    wanted = {key: value for key, value in table.items() if key not in _REPLACED}
    lines = [*_others(text.splitlines()), "", "[policy]"]
    lines += [f"{key} = {_inline(value)}" for key, value in policy.items()]
    changed = "\n".join(lines).strip("\n") + "\n"
    try:
        if tomllib.loads(changed) == wanted | {"policy": policy}:
            return changed
    except tomllib.TOMLDecodeError:
        pass
    raise ValueError(
        "the settings cannot be rewritten line by line; put [policy] and [rollout] in tables of "
        "their own"
    )


def _others(lines: Iterable[str]) -> Iterator[str]:
    """All lines but those of the tables that are replaced."""
    section = ""
    for line in lines:
        if header := _HEADER.match(line):
            section = header[1].split(".")[0].strip("\"' ")
        key = _KEY.match(line)
        named = section or (key[1] if key else "")
        if named not in _REPLACED:
            yield line


def _inline(value: Any) -> str:
    """TOML of a value; JSON has the same texts, numbers and lists."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{json.dumps(key)} = {_inline(each)}" for key, each in value.items())
        return f"{{ {inner} }}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
