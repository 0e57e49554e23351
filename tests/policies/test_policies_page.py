"""The page on policies names every one of them, and the options that it says they have."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from policies import POLICIES

PAGE = Path(__file__).parents[2] / "docs" / "policies.md"


def test_the_table_of_policies_is_whole_and_right() -> None:
    rows = [line.split("|") for line in PAGE.read_text("utf-8").splitlines() if "| `" in line[:3]]
    told = {name: row[3] for row in rows for name in re.findall(r"`(\w+)`", row[1])}
    assert set(told) == set(POLICIES)
    for name, options in told.items():
        kin = next(re.findall(r"`(\w+)`", row[1]) for row in rows if f"`{name}`" in row[1])
        policies: list[Any] = [POLICIES[each] for each in kin]
        known = {field.name: field.default for each in policies for field in fields(each)}
        for option, default in re.findall(r"`(\w+)`(?: \(([^)]*)\))?", options):
            assert option in known, (name, option)
            assert default in ("", str(known[option])), (name, option, default)
