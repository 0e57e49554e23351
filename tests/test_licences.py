"""Licences of dependencies, and the bill of materials."""

import re
from datetime import UTC, datetime
from email.message import Message
from typing import Any

import pytest

from deploy.licences import PAGE, installed, is_permissive, licence, page, pins
from deploy.sbom import document

ROW = re.compile(r"^\| ([\w-]+) \| (\S+) \| ([^|]+?) \|(?: ([^|]+) \|)?$", re.M)


def test_the_page_has_every_pinned_package_once() -> None:
    _, _, every = PAGE.read_text(encoding="utf-8").partition("## All")
    rows = ROW.findall(every)
    assert {name: version for name, version, *_ in rows if name != "package"} == pins()
    assert len(rows) == len(pins()) + 1


def test_what_is_not_permissive_is_named_with_who_requires_it() -> None:
    named, _, every = PAGE.read_text(encoding="utf-8").partition("## All")
    rows = ROW.findall(every)[1:]
    others = {name for name, _, terms, _ in rows if not is_permissive(terms)}
    assert {name for name, *_ in ROW.findall(named)[1:]} == others
    assert all(who for *_, who in ROW.findall(named))


def test_the_page_is_what_the_packages_state() -> None:
    try:
        found = installed()
    except LookupError as error:
        pytest.skip(f"not the pinned versions: {error}")
    assert PAGE.read_text(encoding="utf-8") == page(found), "run: python -m deploy.licences"


def test_the_bill_of_materials_has_all_and_who_needs_whom() -> None:
    try:
        found = installed()
    except LookupError as error:
        pytest.skip(f"not the pinned versions: {error}")
    made = document(found, datetime(2026, 11, 29, tzinfo=UTC))
    components = {each["name"]: each for each in made["components"]}
    assert {name: each["version"] for name, each in components.items()} == pins()
    refs = {each["bom-ref"] for each in made["components"]}
    needs = {each["ref"]: each["dependsOn"] for each in made["dependencies"]}
    own = made["metadata"]["component"]["bom-ref"]
    assert set(needs) == refs | {own}
    assert {ref for on in needs.values() for ref in on} <= refs
    assert components["ray"]["bom-ref"] in needs[own]
    assert made == document(found, datetime(2026, 11, 29, tzinfo=UTC))


@pytest.mark.parametrize(
    ("stated", "expression", "free"),
    [
        ({"License-Expression": "MIT AND PSF-2.0"}, "MIT AND PSF-2.0", True),
        ({"License-Expression": "MIT AND LGPL-2.1-only"}, "MIT AND LGPL-2.1-only", False),
        ({"License-Expression": "GPL-3.0-only OR MIT"}, "GPL-3.0-only OR MIT", True),
        ({"License": "Apache 2.0 License"}, "Apache-2.0", True),
        ({"License": "MPL-2.0 AND MIT"}, "MPL-2.0 AND MIT", False),
        ({"Classifier": "License :: OSI Approved :: BSD License"}, "BSD-3-Clause", True),
        ({"License": "MIT License\n\n" + "WITHOUT WARRANTY, EXPRESS OR IMPLIED " * 5}, "MIT", True),
        ({"License": "GPLv2"}, "GPL-2.0-only", False),
    ],
)
def test_a_licence_is_read_from_the_metadata(
    stated: dict[str, str], expression: str, free: bool
) -> None:
    metadata: Any = Message()
    for key, value in stated.items():
        metadata[key] = value
    assert licence("package", metadata) == expression
    assert is_permissive(expression) is free


def test_a_package_that_states_nothing_is_refused() -> None:
    silent: Any = Message()
    with pytest.raises(LookupError, match="package states no licence"):
        licence("package", silent)
