"""A policy by its name, or of a class in a file of the user's own: `mine.py:MyPolicy`.

The file is run as any program of the user is; a request can never name one.
"""

import importlib.util
import sys
import traceback
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from policies import POLICIES, build, rebuild
from policies.base import Policy, option_names


def build_policy(name: str, /, *, answer_tokens: int, **options: Any) -> Policy:
    """A policy of these options. Raises ValueError that names what is wrong, and where.

    `answer_tokens` is left out where a policy of the user's own has no such option.
    """
    if ":" not in name:
        return build(name, answer_tokens=answer_tokens, **options)
    kind = _load(name)
    if "answer_tokens" in option_names(kind):
        options = {"answer_tokens": answer_tokens} | options
    try:
        policy = rebuild(kind(), **options) if options else kind()
        _ = policy.options, policy.max_chains
    except Exception as error:
        raise ValueError(f"policy {name!r}: {type(error).__name__}: {error}") from error
    if not isinstance(policy.name, str) or not policy.name or policy.name in POLICIES:
        why = "its name must be a text that no other policy has"
        raise ValueError(f"policy {name!r}: {why}, got {policy.name!r}")
    return policy


def absolute(name: str) -> str:
    """The same policy for processes that run in another folder."""
    file, colon, kind = name.rpartition(":")
    return f"{Path(file).resolve()}:{kind}" if colon else name


def _load(name: str) -> type[Policy]:
    file, _, wanted = name.rpartition(":")
    path = Path(file).resolve()
    if not path.is_file():
        raise ValueError(f"policy {name!r}: there is no file {file!r}")
    try:
        module = _module(path, path.stat().st_mtime_ns)
    except Exception as error:
        raise ValueError(
            f"policy {name!r}: {_place(error)}: {type(error).__name__}: {error}"
        ) from error
    found = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Policy)
    }
    if wanted not in found:
        near = get_close_matches(wanted, found, n=1, cutoff=0.4)
        advice = f"; did you mean {near[0]!r}?" if near else ""
        why = f"{path.name} has no class {wanted!r} that subclasses Policy{advice}"
        raise ValueError(f"policy {name!r}: {why}")
    return found[wanted]


def _place(error: Exception) -> str:
    """File and line of an error, the last of its traceback."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    file, line = last.filename, last.lineno
    if isinstance(error, SyntaxError):
        file, line = error.filename or file, error.lineno
    return f"{Path(file).name}, line {line}"


@cache
def _module(path: Path, _version: int) -> ModuleType:
    """Read once, so that its classes stay the same; again after a change of the file."""
    spec = importlib.util.spec_from_file_location(f"thinkbudget_policy_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
