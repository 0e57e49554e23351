"""Writes docs/licences.md: `python -m deploy.licences`, in an environment of the pinned versions.

The licence of a package is what its metadata state: the expression, else the classifiers, else the
name in its text.
"""

import re
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "licences.md"
PINS = ("constraints.txt", "constraints-cpu.txt")

PERMISSIVE = frozenset(
    {"0BSD", "AFL-2.1", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSD-derived", "BSL-1.0",
     "CC0-1.0", "CNRI-Python", "ISC", "MIT", "MIT-0", "MIT-CMU", "PSF-2.0", "Unlicense"}
)  # fmt: skip
STATED_IN_FILE = {"axe-playwright-python": "MIT", "oss-harmony": "Apache-2.0"}
"""Packages whose metadata name no licence: it was read in their licence files."""
ALSO = {"hjson": "MIT OR AFL-2.1", "sniffio": "MIT OR Apache-2.0", "uvloop": "MIT OR Apache-2.0"}
"""Packages with two classifiers, either of which may be chosen."""
WORDS = (
    (r"GPLv2", "GPL-2.0-only"),
    (r"Intel End User", "Intel EULA"),
    (r"\bMPL|Mozilla", "MPL-2.0"),
    (r"Apache", "Apache-2.0"),
    (r"BSD-derived", "BSD-derived"),
    (r"2-Clause", "BSD-2-Clause"),
    (r"BSD", "BSD-3-Clause"),
    (r"\bPSF|Python Software|matplotlib", "PSF-2.0"),
    (r"Unlicense", "Unlicense"),
    (r"\bISC\b", "ISC"),
    (r"\bMIT\b", "MIT"),
)


def canonical(name: str) -> str:
    """As indexes compare names of packages."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    """Version by package, as the constraint files have them."""
    lines = [line for name in PINS for line in (ROOT / name).read_text().split()]
    return {canonical(name): version for name, _, version in (x.partition("==") for x in lines)}


def installed() -> dict[str, Distribution]:
    """The pinned packages that are here. Raises LookupError for one that is not, or is another."""
    here = {canonical(found.metadata["Name"]): found for found in distributions()}
    for name, version in pins().items():
        found = here[name].version.partition("+")[0] if name in here else "missing"
        if found != version:
            raise LookupError(f"{name} is {found} here, pinned is {version}: run `make develop`")
    return {name: here[name] for name in sorted(pins())}


def licence(name: str, metadata: Any) -> str:
    """An SPDX expression where there is one for it; `metadata` are those of a distribution.

    Raises LookupError if nothing is stated.
    """
    if stated := metadata.get("License-Expression"):
        return str(stated)
    if known := ALSO.get(name) or STATED_IN_FILE.get(name):
        return known
    classifiers = [each for each in metadata.get_all("Classifier", []) if "License ::" in each]
    text = str(metadata.get("License") or "").strip()
    stated_words = [text] if len(text) < 100 else []
    for words in (*stated_words, *classifiers, text):
        found = [spdx for pattern, spdx in WORDS if re.search(pattern, words)]
        if found and words in stated_words and re.search(" (AND|OR) ", words):
            return str(words)
        if found:
            return found[0]
    raise LookupError(f"{name} states no licence: read its licence file, and add it here")


def is_permissive(expression: str) -> bool:
    """Whether one choice of it has permissive licences only."""
    choices = expression.replace("(", "").replace(")", "").split(" OR ")
    return any(
        all(part.split(" WITH ")[0].strip() in PERMISSIVE for part in choice.split(" AND "))
        for choice in choices
    )


def required_by(found: dict[str, Distribution]) -> dict[str, list[str]]:
    """By package: those that require it; where none does, those with an extra that does."""
    users: dict[str, list[str]] = {name: [] for name in found}
    for name, each in found.items():
        for needed in each.requires or ():
            other, extra = re.match(r"[\w.-]+", needed), re.search(r"extra == .([\w.-]+)", needed)
            if other and (who := users.get(canonical(other[0]))) is not None:
                who.append(f"an extra of {name}" if extra else name)
    plain = {name: [one for one in who if " of " not in one] for name, who in users.items()}
    return {name: sorted(set(plain[name] or who)) for name, who in users.items()}


def page(found: dict[str, Distribution]) -> str:
    licences = {name: licence(name, each.metadata) for name, each in found.items()}
    users, numbers = required_by(found), pins()
    others = [name for name in found if not is_permissive(licences[name])]
    lines = [
        "# Licences of dependencies",
        "",
        "This page is written by `python -m deploy.licences` from what the packages state. It has "
        "every package of the constraint files. thinkbudget itself is under Apache-2.0, and its "
        "wheel contains none of these packages.",
        "",
        "The extra `gpu` also installs CUDA libraries of NVIDIA, under NVIDIA's own terms. They "
        "are not pinned, and not in this list.",
        "",
        "## Not permissive",
        "",
        "These licences ask for more than a notice when the package is passed on, in a container "
        "image for example.",
        "",
        "| package | version | licence | required by |",
        "|---|---|---|---|",
    ]
    for name in others:
        who = ", ".join(users[name]) or "thinkbudget"
        lines.append(f"| {name} | {numbers[name]} | {licences[name]} | {who} |")
    lines += ["", "## All", "", "| package | version | licence |", "|---|---|---|"]
    lines += [f"| {name} | {numbers[name]} | {licences[name]} |" for name in found]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(installed()), encoding="utf-8")
