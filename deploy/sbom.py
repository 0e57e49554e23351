"""Prints a CycloneDX document of thinkbudget and its pinned packages: `make sbom`."""

import json
import re
import tomllib
from datetime import UTC, datetime
from importlib.metadata import Distribution
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from deploy.licences import ROOT, canonical, installed, licence, pins

UNLISTED = ("BSD-derived", "Intel EULA")
"""Names that are no SPDX identifiers."""


def document(found: dict[str, Distribution], made: datetime) -> dict[str, Any]:
    """CycloneDX 1.6. The serial number follows from version and packages."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    numbers = pins()
    purls = {name: f"pkg:pypi/{name}@{numbers[name]}" for name in found}
    own = f"pkg:pypi/thinkbudget@{project['version']}"
    direct = {canonical(re.split(r"[^\w.-]", each)[0]) for each in project["dependencies"]}
    needs = {own: sorted(purls[name] for name in direct & set(found))}
    for name, each in found.items():
        names = {canonical(m[0]) for n in each.requires or () if (m := _name(n)) is not None}
        needs[purls[name]] = sorted(purls[other] for other in names & set(found))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, own + ' '.join(purls.values()))}",
        "version": 1,
        "metadata": {
            "timestamp": made.isoformat(timespec="seconds"),
            "component": _component("thinkbudget", project["version"], own, project["license"])
            | {"type": "application"},
        },
        "components": [
            _component(name, numbers[name], purls[name], licence(name, each.metadata))
            for name, each in found.items()
        ],
        "dependencies": [{"ref": ref, "dependsOn": on} for ref, on in needs.items()],
    }


def _name(requirement: str) -> re.Match[str] | None:
    """Nothing for requirements of extras."""
    return None if "extra ==" in requirement else re.match(r"[\w.-]+", requirement)


def _component(name: str, version: str, purl: str, terms: str) -> dict[str, Any]:
    named = {"license": {"name": terms}} if terms in UNLISTED else {"expression": terms}
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "licenses": [named],
    }


if __name__ == "__main__":
    print(json.dumps(document(installed(), datetime.now(UTC)), indent=2))
