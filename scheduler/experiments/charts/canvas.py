"""Figures as PNG for a light background, and as SVG whose colours the page decides.

An SVG names its colours by CSS variables, so that one picture serves both themes: `--ink`,
`--muted`, `--grid`, and `--p0`, `--p1`, ... of the policies. What belongs to a policy is in a group
of the class `p`, with the policy's name as `data-policy`.
"""

import html
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import matplotlib.ticker

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from scheduler.experiments.charts.colours import plain_colours, policy_colours

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

_STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
}
matplotlib.rcParams.update(_STYLE)
_PLACEHOLDERS = {"ink": "#000001", "muted": "#000002", "grid": "#000003", "ground": "#000004"}


class Canvas:
    """Makes figures. `themed` ones become SVG for the page, others have the light colours."""

    def __init__(self, policies: Sequence[str], *, themed: bool) -> None:
        self.policies = list(policies)
        self._given = policy_colours(policies)
        self.plain: Mapping[str, str] = _PLACEHOLDERS if themed else plain_colours("light")
        self._themed = themed
        self._made = 0

    def colour(self, policy: str) -> str:
        if self._themed:
            return f"#01{self.policies.index(policy):04x}"
        return self._given[policy].light

    def mark(self, policy: str) -> str:
        return self._given[policy].mark

    def panels(self, rows: int, columns: int, width: float, height: float, **options: Any) -> Any:
        """A figure and its panels, rows x columns; sizes in inches."""
        ink, muted = self.plain["ink"], self.plain["muted"]
        own: Any = {"text.color": ink, "axes.labelcolor": muted, "axes.titlecolor": ink,
               "axes.edgecolor": muted, "xtick.color": muted, "ytick.color": muted,
               "axes.facecolor": "none", "figure.facecolor": "none",
               "grid.color": self.plain["grid"]}  # fmt: skip
        with plt.rc_context(own):
            figure, axes = plt.subplots(
                rows, columns, figsize=(width, height), squeeze=False, layout="constrained",
                **options,
            )  # fmt: skip
            for panel in axes.flat:
                panel.grid(lw=0.6)
        return figure, axes

    def of_policy(self, policy: str, artists: "Iterable[Artist]") -> None:
        """Mark what is drawn for a policy, so that the page can tell it apart."""
        for number, artist in enumerate(artists):
            artist.set_gid(f"p{self.policies.index(policy)}-{number}-{id(artist)}")

    def svg(self, figure: "Figure", title: str) -> str:
        """The figure as an `svg` element; the figure is closed."""
        self._made += 1
        with plt.rc_context({"svg.hashsalt": title}):
            text = io.StringIO()
            figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)
        return _tidied(text.getvalue(), f"f{self._made}", title, self.policies)

    def png(self, figure: "Figure", path: Path) -> None:
        figure.savefig(path, dpi=110, facecolor=self.plain["ground"])
        plt.close(figure)


def hide_after(axes: Any, count: int) -> None:
    """Hides the panels after the first `count`; those above them get the numbers of their axis."""
    across = axes.shape[1]
    for place in range(count, axes.size):
        axes.flat[place].set_visible(False)
        if place >= across:
            axes.flat[place - across].tick_params(axis="x", labelbottom=True)


def percent_axis(axes: "Axes") -> None:
    """Accuracy as in the tables."""
    axes.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1.0, decimals=0))


def log_tokens(axes: "Axes") -> None:
    """Tokens on a log axis, with enough plain numbers to read it."""
    axes.set_xscale("log")
    inches = axes.get_window_extent().width / axes.figure.dpi
    _plain_numbers(axes.xaxis, *axes.get_xlim(), most=round(1.6 * inches))


def log_numbers(axes: "Axes") -> None:
    """The upright axis in the same way, with ticks by what will be drawn."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")


def _plain_numbers(axis: "Axis", low: float, high: float, *, most: int) -> None:
    """The finest of three grids that has no more than so many ticks."""
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = [digit * 10.0**power for power in range(9) for digit in digits]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= most:
            break
    axis.set_major_locator(matplotlib.ticker.FixedLocator(ticks))
    axis.set_minor_locator(matplotlib.ticker.NullLocator())
    axis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def _tidied(svg: str, prefix: str, title: str, policies: Sequence[str]) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.S)
    svg = re.sub(r'<g id="p(\d+)-\d+-\d+"', lambda found: _group(int(found[1]), policies), svg)
    # Ids are those of one page, not of one picture; those that nothing names go.
    named = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in named else "", svg)
    svg = re.sub(r"<g>\s*(<use [^>]*/>)\s*</g>", r"\1", svg)
    svg = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    svg = re.sub(r"font-family: [^;]*; ", "", svg)
    svg = re.sub(r"#01([0-9a-f]{4})\b", lambda found: f"var(--p{int(found[1], 16)})", svg)
    for name, placeholder in _PLACEHOLDERS.items():
        svg = svg.replace(placeholder, f"var(--{name})")
    svg = re.sub(r' (?:d|x|y|transform|points)="[^"]*"', _shortened, svg)
    svg = re.sub(r"\s*\n\s*", "\n", svg)
    # A narrow screen scrolls a wide figure; none is shown larger than it was drawn.
    width = re.search(r'width="([\d.]+pt)"', svg)
    own = f' style="--own: {width[1]}"' if width else ""
    label = f'<svg role="img" aria-label="{html.escape(title)}"{own} '
    return svg.replace("<svg ", label, 1)


def _group(number: int, policies: Sequence[str]) -> str:
    return f'<g class="p p{number}" data-policy="{html.escape(policies[number])}"'


def _shortened(attribute: re.Match[str]) -> str:
    return re.sub(r"-?\d+\.\d{2,}", lambda number: f"{float(number[0]):.1f}", attribute[0])
