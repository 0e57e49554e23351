"""Names beside what they name: at points without covering others, and at the ends of lines."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

_AROUND = (
    (7, 0, "left", "center"), (-7, 0, "right", "center"), (5, 7, "left", "bottom"),
    (5, -7, "left", "top"), (-5, 7, "right", "bottom"), (-5, -7, "right", "top"),
    (0, 9, "center", "bottom"), (0, -9, "center", "top"),
    (12, 18, "left", "bottom"), (12, -18, "left", "top"),
    (-12, 18, "right", "bottom"), (-12, -18, "right", "top"),
    (14, 30, "left", "bottom"), (14, -30, "left", "top"),
    (-14, 30, "right", "bottom"), (-14, -30, "right", "top"),
)  # fmt: skip


class NamedPoint(NamedTuple):
    name: str
    x: float
    y: float
    colour: str


def name_points(
    axes: "Axes",
    points: Sequence[NamedPoint],
    avoid: Sequence[tuple[float, float]] = (),
    size: float = 8.5,
) -> "list[Annotation]":
    """A name beside each point, where it covers the fewest names, points, and places to `avoid`."""
    figure = axes.figure
    figure.canvas.draw()
    frame = axes.get_window_extent()
    spots = axes.transData.transform([*((point.x, point.y) for point in points), *avoid])
    taken: list[Any] = []
    found = []
    for point in points:
        best = None
        for dx, dy, across, up in _AROUND:
            text = axes.annotate(
                point.name, (point.x, point.y), xytext=(dx, dy), textcoords="offset points",
                ha=across, va=up, fontsize=size, color=point.colour,
            )  # fmt: skip
            box = text.get_window_extent()
            hidden = sum(box.overlaps(other) for other in taken)
            covered = sum(box.contains(*spot) for spot in spots)
            outside = max(0, box.x1 - frame.x1) + max(0, frame.x0 - box.x0)
            outside += max(0, box.y1 - frame.y1) + max(0, frame.y0 - box.y0)
            cost = 3 * hidden + covered + 0.1 * outside
            if best is None or cost < best[0]:
                if best is not None:
                    best[1].remove()
                best = cost, text, box
            else:
                text.remove()
            if cost == 0:
                break
        assert best is not None
        found.append(best[1])
        taken.append(best[2])
    return found


def name_lines(axes: "Axes", ends: Sequence[NamedPoint], size: float = 8.5) -> "list[Annotation]":
    """A name to the right of the end of each line; those that would meet are moved apart."""
    if not ends:
        return []
    figure = axes.figure
    figure.canvas.draw()
    gap = size * 1.25 * figure.dpi / 72
    order = sorted(range(len(ends)), key=lambda n: axes.transData.transform((1, ends[n].y))[1])
    wanted = [float(axes.transData.transform((1, ends[n].y))[1]) for n in order]
    frame = axes.get_window_extent()
    heights = spread_apart(wanted, gap, frame.y0, frame.y1)
    found: dict[int, Annotation] = {}
    for n, height, at in zip(order, heights, wanted, strict=True):
        found[n] = axes.annotate(
            ends[n].name, (ends[n].x, ends[n].y), color=ends[n].colour, fontsize=size,
            xytext=(5, (height - at) * 72 / figure.dpi), textcoords="offset points",
            ha="left", va="center", annotation_clip=False,
        )  # fmt: skip
    return [found[n] for n in range(len(ends))]


def spread_apart(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Ascending places at least `gap` apart, near those wanted and within bounds if they fit."""
    places: list[float] = []
    for place in wanted:
        places.append(max(place, places[-1] + gap) if places else max(place, low))
    over = (places[-1] - high) if places else 0.0
    if over > 0:
        places[-1] -= over
        for n in reversed(range(len(places) - 1)):
            places[n] = min(places[n], places[n + 1] - gap)
    return places
