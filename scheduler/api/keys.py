"""Keys that callers show: a file of JSON lines with one record a key, and no key itself.

What is kept is the SHA-256 of 32 random bytes: nothing to guess, so nothing to slow guesses down
for. The file belongs to its owner alone, and is read again whenever it has changed.
"""

import hashlib
import hmac
import json
import logging
import os
import secrets
import stat
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast, get_args

from pydantic.dataclasses import dataclass as settings

from scheduler.admission.access import Caller, Role
from scheduler.admission.limits import KeyLimits
from scheduler.settings import STRICT, from_table

log = logging.getLogger("thinkbudget")

PREFIX = "tb-"
MOST_NAME_LETTERS = 100


@settings(frozen=True, slots=True, config=STRICT)
class ApiKey:
    """`name` is the tenant: keys of one name share quotas and cached prefixes.

    `hash` is the SHA-256 of the key, in hexadecimal; `priority` lets it use that tier.
    """

    name: str
    hash: str
    role: str = "inference"
    created: str = ""
    revoked: str | None = None
    priority: bool = False
    limits: KeyLimits | None = None

    def __post_init__(self) -> None:
        if not 0 < len(self.name) <= MOST_NAME_LETTERS or not self.name.isprintable():
            raise ValueError(
                f"name must have 1 to {MOST_NAME_LETTERS} letters that print, got {self.name!r}"
            )
        if self.role not in get_args(Role):
            raise ValueError(f"role must be one of {', '.join(get_args(Role))}, got {self.role!r}")
        if len(self.hash) != 64 or set(self.hash) - set("0123456789abcdef"):
            raise ValueError(f"hash must be a SHA-256 in hexadecimal, got {self.hash!r}")


@dataclass(slots=True)
class Keyring:
    """The keys of a file, as callers. A file that is gone, broken or open to others has none."""

    path: Path
    usual: KeyLimits = field(default_factory=KeyLimits)
    _callers: list[tuple[str, Caller]] = field(default_factory=list)
    _seen: tuple[int, ...] = ()

    def find(self, secret: str) -> Caller | None:
        """The caller of a key; it takes as long for a wrong one, and none for a revoked one."""
        self._refresh()
        shown, found = _hash(secret), None
        for known, caller in self._callers:
            if hmac.compare_digest(known, shown):
                found = caller
        return found

    def _refresh(self) -> None:
        seen = _state(self.path)
        if seen == self._seen:
            return
        self._seen, self._callers = seen, []
        try:
            keys = read_keys(self.path)
        except ValueError as error:
            log.error("no key is accepted: %s", error)
            return
        for key in keys:
            if key.revoked is None:
                # The oldest record is the secret: the same in all gateways, and never shown.
                cache_salt = hmac.digest(
                    bytes.fromhex(keys[0].hash), key.name.encode(), "sha256"
                ).hex()
                role, limits = cast(Role, key.role), key.limits or self.usual
                caller = Caller(key.name, role, limits, cache_salt, key.priority)
                self._callers.append((key.hash, caller))


def read_keys(path: Path) -> list[ApiKey]:
    """Records in the order of the file; a ValueError says what is wrong with it, and where."""
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"keys: {path}: {error}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ValueError(
            f"keys: {path} can be used by others than its owner (mode {mode & 0o777:o}); "
            f"mend it: chmod 600 {path}"
        )
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            keys.append(from_table(ApiKey, json.loads(line)))
        except (ValueError, AttributeError) as error:
            raise ValueError(f"keys: {path}, line {number}: {error}") from None
    return keys


def create(
    path: Path,
    name: str,
    *,
    role: str = "inference",
    priority: bool = False,
    limits: KeyLimits | None = None,
) -> str:
    """A new key, shown this once; the file is made if there is none."""
    keys = read_keys(path) if path.exists() else []
    secret = PREFIX + secrets.token_urlsafe(32)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    key = ApiKey(name, _hash(secret), role, now, priority=priority, limits=limits)
    _write(path, [*keys, key])
    return secret


def revoke(path: Path, name: str) -> int:
    """Every key of this name stops at once; how many there were."""
    keys = read_keys(path)
    chosen = [key for key in keys if key.name == name and key.revoked is None]
    if not chosen:
        raise ValueError(f"name {name!r} has no key in {path} that is not revoked")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    _write(path, [replace(key, revoked=now) if key in chosen else key for key in keys])
    return len(chosen)


def _write(path: Path, keys: list[ApiKey]) -> None:
    """All at once, so that no server ever reads half a file."""
    lines = "".join(json.dumps(_table(key)) + "\n" for key in keys)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _table(key: ApiKey) -> dict[str, object]:
    """Without what is not set, as TOML and JSON of settings are written."""
    table = {name: value for name, value in asdict(key).items() if value is not None}
    if key.limits is not None:
        table["limits"] = {n: v for n, v in asdict(key.limits).items() if v is not None}
    return table


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def _state(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return (0,)
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode
