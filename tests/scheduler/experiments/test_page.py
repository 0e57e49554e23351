"""The report's page: it needs nothing else, and each policy has one colour on it."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from scheduler.experiments import runner
from scheduler.experiments.charts.canvas import Canvas, hide_after
from scheduler.experiments.charts.colours import plain_colours, policy_colours
from scheduler.experiments.charts.figures import figures
from scheduler.experiments.charts.labels import spread_apart
from scheduler.experiments.curve_tables import learned_curves
from scheduler.experiments.prepare import prepare
from scheduler.experiments.report import ReportBlock, blocks, tables
from scheduler.experiments.report_files import write
from scheduler.experiments.results import load_results
from tests.scheduler.experiments.test_report import scored
from tests.scheduler.experiments.test_runner import Steps, settings

POLICIES = {
    "learned": {"policy": "priced"},
    "votes": {"policy": "majority", "samples": [1, 3]},
    "plain, own": {"policy": "fixed"},
}
CONFIG = settings(policies=POLICIES, limit=60, price={"tokens_per_query": 200})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment of four policies and its report."""
    folder = tmp_path_factory.mktemp("run")
    prepared = prepare(CONFIG)
    runner.run(prepared, runner.missing(prepared, folder), folder, Steps())
    write(folder / "report", load_results(folder), learned_curves(folder), CONFIG)
    return folder


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return (run / "report" / "report.html").read_text(encoding="utf-8")


class Tags(HTMLParser):
    """Every tag with its attributes, and those that were left open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_is_whole_and_small_and_asks_the_network_for_nothing(page: str) -> None:
    tags = Tags(page)
    assert tags.open == [] and len(page) < 1_000_000
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in tags.found}
    for _, attributes in tags.found:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")
    assert "@import" not in page and "url(http" not in page


def test_links_and_labels_lead_somewhere_and_no_id_comes_twice(page: str) -> None:
    tags = Tags(page).found
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = {each["href"] for tag, each in tags if tag == "a"}
    named |= {each["xlink:href"] for tag, each in tags if tag == "use"}
    assert {str(name).removeprefix("#") for name in named} <= set(ids)
    assert set(re.findall(r"url\(#([^)]+)\)", page)) <= set(ids)


def test_it_serves_both_themes_and_the_keyboard(page: str) -> None:
    assert "@media (prefers-color-scheme: dark)" in page
    for theme in (plain_colours("light"), plain_colours("dark")):
        assert all(f"--{name}: {colour};" in page for name, colour in theme.items())
    tags = Tags(page).found
    scrolled = [each for _, each in tags if each.get("class") == "scroll"]
    assert scrolled and all(each["tabindex"] == "0" and each["aria-label"] for each in scrolled)
    assert all(each["role"] == "img" and each["aria-label"] for tag, each in tags if tag == "svg")
    assert sum(each.get("type") == "radio" for _, each in tags) == 1 + 4


def test_every_figure_names_colours_by_variables_of_the_page(page: str) -> None:
    pictures = re.findall(r"<svg.*?</svg>", page, flags=re.S)
    assert len(pictures) >= 9
    known = set(re.findall(r"--(\w+): #", page))
    for picture in pictures:
        ElementTree.fromstring(picture)
        assert set(re.findall(r"var\(--(\w+)\)", picture)) <= known
        assert not re.findall(r"#[0-9a-f]{6}\b", picture)


def test_the_page_says_what_an_experimenter_asks(page: str) -> None:
    titles = re.findall(r"<h3 [^>]*>([^<]+)</h3>", page)
    assert titles[:3] == ["Accuracy against tokens", "By class", "Learned curves: learned"]
    assert {"Price and budget over time", "Decisions: plans", "Latency"} <= set(titles)
    assert {"Where tokens go, by kind", "Where tokens go, by class"} <= set(titles)
    assert "held to 200 tokens a question" in page and "p (Holm)" in page
    assert "Wide grey lines: the truth." in page and "regret, points" in page


def test_every_figure_is_a_picture_file_too_and_comes_out_the_same_again(
    run: Path, page: str
) -> None:
    (block,) = blocks(load_results(run))
    canvas = Canvas(block.scores.policies, themed=True)
    found = list(figures(canvas, block, learned_curves(run), CONFIG))
    assert all(canvas.svg(each.figure, each.title) in page for each in found)
    files = {path.name for path in (run / "report").glob("report-1-*.png")}
    assert files == {f"report-1-{each.name}.png" for each in found}


def test_a_panel_above_a_gap_has_the_numbers_of_its_axis() -> None:
    canvas = Canvas(["p"], themed=False)
    figure, axes = canvas.panels(2, 3, 6, 4, sharex=True, sharey=True)
    hide_after(axes, 4)
    figure.canvas.draw()
    shown = [panel.get_visible() for panel in axes.flat]
    numbered = [
        any(tick.label1.get_visible() for tick in panel.xaxis.get_major_ticks())
        for panel in axes.flat[:4]
    ]
    assert (shown, numbered) == ([True] * 4 + [False] * 2, [False, True, True, True])


def test_no_figure_is_shown_larger_than_it_was_drawn(page: str) -> None:
    assert "min-width: min(40rem, var(--own))" in page
    svgs = re.findall(r"<svg [^>]*>", page)
    widths = [re.search(r'--own: (\S+?pt)".* width="(\S+?)"', svg) for svg in svgs]
    assert len(svgs) > 4
    assert all(found and found[1] == found[2] for found in widths)
    assert len({found[1] for found in widths if found}) > 1


def test_names_are_text_wherever_they_stand() -> None:
    rows = scored("a<b>&", 3, 4, 10, name="<i>$x$") + scored("c", 2, 4, 20, name="d")
    (block,) = blocks(rows)
    canvas = Canvas(block.scores.policies, themed=True)
    svgs = [canvas.svg(each.figure, each.title) for each in figures(canvas, block)]
    assert len(svgs) >= 3
    for svg in svgs:
        ElementTree.fromstring(svg)


def test_policies_of_a_grid_are_shades_and_others_differ() -> None:
    names = [*(f"votes-samples={n}" for n in (1, 2, 4)), *(f"p{n}" for n in range(9))]
    found = policy_colours(names)
    assert list(found) == names
    assert len({(each.light, each.mark) for each in found.values()}) == len(names)
    assert len({(each.dark, each.mark) for each in found.values()}) == len(names)
    assert found["p7"].light == found["votes-samples=4"].light
    assert found["p7"].mark != found["votes-samples=4"].mark


@pytest.mark.parametrize(
    ("wanted", "found"),
    [([], []), ([5, 50], [5, 50]), ([1, 2, 3], [1, 11, 21]), ([95, 96], [90, 100])],
)
def test_names_beside_lines_keep_their_distance(wanted: list[float], found: list[float]) -> None:
    assert spread_apart(wanted, 10, 0, 100) == found


def block_of(rows: list[dict[str, Any]]) -> ReportBlock:
    (found,) = blocks(rows)
    return found


def test_regret_is_a_column_where_the_population_is_known(run: Path) -> None:
    known, unknown = load_results(run), scored("a", 3, 4, 10, price=3e-4)
    assert "regret, points" in tables(block_of(known))[0].head
    assert "regret, points" not in tables(block_of(unknown))[0].head
