"""What the results in a folder were made with: another experiment does not go on in it.

More seeds, other policies beside those that have run: all that is there stays right. Any other
setting, or a policy whose options have changed, is another experiment.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from scheduler.config import ExperimentConfig
from scheduler.manifest import read_manifest, refuse_another
from workers.models import POCKET

NAME = "experiment.manifest.json"


def claim(config: ExperimentConfig, folder: Path, *, force: bool = False) -> None:
    """Note in the folder what its results are made with.

    Raises ResumeRefused for a folder of another experiment unless `force`, ValueError for one that
    has results of nobody knows what, or cannot be written.
    """
    path, job = folder / NAME, _settings(config)
    if path.exists():
        begun = read_manifest(path)
        old, new = _policies_of(begun), _policies_of(job)
        if not force:
            # A policy that only one of them has is no contradiction.
            refuse_another(folder, new | begun, dict.fromkeys(begun) | old | job)
        job = old | job
    elif any(folder.glob("*.jsonl")) and not force:
        raise ValueError(f"{folder} has *.jsonl files that no experiment wrote; choose another")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(job, indent=1), encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{folder} cannot be written: {error}") from None


def _policies_of(manifest: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in manifest.items() if key.startswith("policies.")}


def _settings(config: ExperimentConfig) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config), default=str))
    del settings["seeds"]
    policies = settings.pop("policies")
    if config.questions not in (None, POCKET):
        raw = Path(config.questions or "").read_bytes()
        settings["questions_sha256"] = hashlib.sha256(raw).hexdigest()
        # The same questions in another place are the same experiment.
        del settings["questions"]
    return settings | {f"policies.{name}": policy for name, policy in policies.items()}
