"""Files that callers upload and batches write: OpenAI's file objects in one folder.

Each caller's files are in a folder of its own, named by a hash of the key's name, and are found by
ids of our making only: no path ever comes from outside.
"""

import hashlib
import json
import os
import re
import secrets
import time
from pathlib import Path
from typing import Any

from scheduler.admission.access import CALLER
from scheduler.errors import UnknownObject

_ID = re.compile(r"(file|batch)[-_][0-9a-f]{32}")


class FileStore:
    """`folder` is made where it is missing, for its owner alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def owned(self, owner: str | None = None) -> Path:
        """The folder of a caller; by default of the one that asks."""
        name = CALLER.get().name if owner is None else owner
        place = self.folder / hashlib.sha256(name.encode()).hexdigest()[:32]
        place.mkdir(exist_ok=True, mode=0o700)
        return place

    def keep(self, data: bytes, *, name: str, purpose: str) -> dict[str, Any]:
        """A new file of the caller's."""
        place, number = self.owned(), f"file-{secrets.token_hex(16)}"
        write_whole(place / number, data)
        return self._describe(place, number, name=name, purpose=purpose)

    def adopt(self, path: Path, *, owner: str, name: str) -> str:
        """A batch's file becomes one of its owner's; its id."""
        place, number = self.owned(owner), f"file-{secrets.token_hex(16)}"
        path.chmod(0o600)
        path.replace(place / number)
        self._describe(place, number, name=name, purpose="batch_output")
        return number

    def _describe(self, place: Path, number: str, *, name: str, purpose: str) -> dict[str, Any]:
        described = {
            "id": number,
            "object": "file",
            "bytes": (place / number).stat().st_size,
            "created_at": int(time.time()),
            "filename": name[:200],
            "purpose": purpose,
            "status": "processed",
        }
        write_whole(place / f"{number}.json", json.dumps(described).encode())
        return described

    def get(self, number: str) -> dict[str, Any]:
        """Raises UnknownObject for a file that the caller has not."""
        found: dict[str, Any] = json.loads(self.path_of(number, ".json").read_bytes())
        return found

    def path_of(self, number: str, suffix: str = "") -> Path:
        """Where one of the caller's files is. Raises UnknownObject."""
        path = self.owned() / f"{number}{suffix}"
        if not _ID.fullmatch(number) or not path.is_file():
            raise UnknownObject("file", number)
        return path

    def listed(self, purpose: str | None) -> list[dict[str, Any]]:
        """The caller's files, the newest first."""
        found = [json.loads(path.read_bytes()) for path in self.owned().glob("file-*.json")]
        chosen = [each for each in found if purpose in (None, each["purpose"])]
        return sorted(chosen, key=lambda each: (-each["created_at"], each["id"]))

    def delete(self, number: str) -> dict[str, Any]:
        """Raises UnknownObject."""
        self.path_of(number, ".json").unlink()
        (self.owned() / number).unlink(missing_ok=True)
        return {"id": number, "object": "file", "deleted": True}


def write_whole(path: Path, data: bytes) -> None:
    """All at once, and for its owner alone."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def page(found: list[dict[str, Any]], *, after: str | None, limit: int) -> dict[str, Any]:
    """OpenAI's list, from the object behind `after` on."""
    ids = [each["id"] for each in found]
    start = ids.index(after) + 1 if after in ids else 0
    shown = found[start : start + limit]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": start + limit < len(found),
    }
