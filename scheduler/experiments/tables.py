"""A table of texts as plain text, Markdown, CSV and LaTeX."""

import csv
import io
from collections.abc import Sequence
from typing import NamedTuple

_SPECIAL = {"%": r"\%", "_": r"\_", "&": r"\&", "#": r"\#", "$": r"\$", "~": r"\textasciitilde{}"}


class TextTable(NamedTuple):
    """`rows` are as long as `head`; the first column names the row."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def plain(table: TextTable) -> str:
    lines = [table.head, *table.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.head))]
    text = [table.title]
    for line in lines:
        first, *rest = (
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        text.append("  ".join([first, *rest]).rstrip())
    return "\n".join([*text, *([table.note] if table.note else [])])


def markdown(table: TextTable) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"

    rule = "|" + "|".join(["---"] + ["---:"] * (len(table.head) - 1)) + "|"
    rows = [line(table.head), rule, *(line(row) for row in table.rows)]
    note = f"\n\n{table.note}" if table.note else ""
    return f"### {table.title}\n\n" + "\n".join(rows) + note


def as_csv(table: TextTable) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([table.head, *table.rows])
    return text.getvalue()


def latex(table: TextTable) -> str:
    """With the rules of booktabs."""

    def line(cells: Sequence[str]) -> str:
        return (
            " & ".join("".join(_SPECIAL.get(letter, letter) for letter in cell) for cell in cells)
            + r" \\"
        )

    return "\n".join(
        [
            r"\begin{tabular}{l" + "r" * (len(table.head) - 1) + "}",
            r"\toprule",
            line(table.head),
            r"\midrule",
            *(line(row) for row in table.rows),
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )
