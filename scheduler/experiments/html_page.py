"""The report as one HTML page that needs nothing else. The only importer of Jinja."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import jinja2

from scheduler.experiments.charts.colours import plain_colours, policy_colours
from scheduler.experiments.tables import TextTable


class PageFigure(NamedTuple):
    """`svg` is an element whose colours are those of the page."""

    name: str
    title: str
    caption: str
    svg: str


class PageBlock(NamedTuple):
    """The results of one engine on one question set, as the page shows them."""

    title: str
    verdicts: Sequence[str]
    figures: Sequence[PageFigure]
    tables: Sequence[TextTable]


def html_page(
    title: str, facts: Mapping[str, str], policies: Sequence[str], blocks: Sequence[PageBlock]
) -> str:
    """`facts` are told on top; `policies` are all that any figure shows, in the canvas's order."""
    return _template().render(
        title=title,
        facts=facts,
        policies=policies,
        colours=list(policy_colours(policies).values()),
        light=plain_colours("light"),
        dark=plain_colours("dark"),
        blocks=blocks,
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("scheduler.experiments", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("page.html.jinja")
