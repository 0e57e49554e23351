"""The live page in a real browser: every view, keyboard, light, dark and narrow, keys."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.serving.live_server import LiveServer
from scheduler.admission.access import AccessConfig
from scheduler.api.keys import create

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra dev)")
axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="needs axe-playwright-python (extra dev)"
)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
WAIT_MS = 60_000
VIEWS = ("tiles", "curves", "price", "tokens", "accuracy", "fleet", "queue", "decisions")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with LiveServer().running() as running:
        yield running


@pytest.fixture(scope="module")
def faults() -> list[str]:
    return []


@pytest.fixture
def page(browser: Any, faults: list[str], request: pytest.FixtureRequest) -> Iterator[Any]:
    options = getattr(request, "param", {})
    context = browser.new_context(bypass_csp=options.pop("bypass_csp", False), **options)
    context.set_default_timeout(WAIT_MS)
    opened = context.new_page()
    opened.on("pageerror", lambda error: faults.append(str(error)))
    yield opened
    context.close()
    assert faults == []


def test_a_fresh_server_says_what_is_missing(page: Any, server: LiveServer) -> None:
    page.goto(f"{server.url}/ui")
    page.wait_for_selector("#status[data-state=live]")
    assert page.url == f"{server.url}/ui/"
    for view in ("curves", "tokens", "accuracy", "decisions"):
        assert page.inner_text(f"[data-view={view}] .empty")
    assert "No labelled answers yet" in page.inner_text("#accuracy")


LOOKS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 900}},
    "narrow": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}},
}


@pytest.mark.parametrize("page", [LOOKS[name] | {"bypass_csp": True} for name in LOOKS],
                         ids=[*LOOKS], indirect=True)  # fmt: skip
def test_every_view_is_filled_fits_and_is_accessible(page: Any, server: LiveServer) -> None:
    if not server.controller.activity or not server.controller.activity.decisions:
        server.ask(80)
    page.goto(f"{server.url}/ui/")
    page.wait_for_selector(".panel svg")
    for view in VIEWS:
        assert page.inner_text(f"[data-view={view}]").strip()
    assert page.locator(".panel svg .chosen").count() == page.locator(".panel").count() == 4
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.locator("td.reason").first.inner_text().endswith(".")
    engines = page.locator("#fleet tbody").first
    assert all(name in engines.inner_text() for name in ("engine-a", "engine-b", "engine-c"))
    violations = axe.Axe().run(page).response["violations"]
    assert [each["id"] for each in violations if each["impact"] in ("serious", "critical")] == []


def test_a_question_shows_its_chains_and_votes(page: Any, server: LiveServer) -> None:
    page.goto(f"{server.url}/ui/")
    page.wait_for_selector("#views:not([hidden])")
    page.fill("#question", "easy question")
    page.focus("#slider")
    page.keyboard.press("Home")
    assert "points per 100 tokens" in page.get_attribute("#slider", "aria-valuetext")
    page.focus("#question")
    for _ in range(3):  # class, slider, button
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    sync_api.expect(page.locator("#ask-status")).to_contain_text("Done", timeout=WAIT_MS)
    assert page.locator(".chains li").count() >= 1
    assert page.locator(".chains li[data-state=running]").count() == 0
    assert page.locator(".ballot svg").count() >= 1
    assert "Stopped by" in page.inner_text("#ask-result")


def test_with_keys_the_page_asks_for_one_and_a_viewer_may_only_look(
    page: Any, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.jsonl"
    viewer, clerk = create(keys, "wall", role="viewer"), create(keys, "clerk")
    with LiveServer(access=AccessConfig(keys=str(keys))).running() as server:
        page.goto(f"{server.url}/ui/")
        page.wait_for_selector("#key:not([hidden])")
        for secret, told in (("tb-wrong", "does not know"), (clerk, "may not see")):
            page.fill("#secret", secret)
            page.keyboard.press("Enter")
            sync_api.expect(page.locator("#refused")).to_contain_text(told, timeout=WAIT_MS)
        page.fill("#secret", viewer)
        page.keyboard.press("Enter")
        page.wait_for_selector("#status[data-state=live]")
        page.fill("#question", "easy question")
        page.click("#send")
        page.wait_for_selector("#ask-status.bad")
        assert "role admin" in page.inner_text("#ask-status")
        page.click("#forget")
        page.wait_for_selector("#key:not([hidden])")


@pytest.mark.parametrize("page", [LOOKS["narrow"] | {"bypass_csp": True}], indirect=True)
def test_the_page_of_requests_asks_for_a_key_and_lists_all(page: Any, tmp_path: Path) -> None:
    keys = tmp_path / "keys.jsonl"
    clerk = create(keys, "clerk")
    with LiveServer(access=AccessConfig(keys=str(keys))).running() as server:
        page.goto(f"{server.url}/docs#shape-BudgetOptions")
        page.wait_for_selector("#key:not([hidden])")
        page.fill("#secret", clerk)
        page.keyboard.press("Enter")
        page.wait_for_selector("#routes:not([hidden])")
        assert "POST /v1/chat/completions" in page.inner_text("#routes")
        assert page.locator("#routes a[href='#shape-ChatRequest']").count() == 1
        shapes = page.evaluate("[...document.querySelectorAll('h3')].map((each) => each.id)")
        links = page.evaluate("[...document.querySelectorAll('#routes a')].map((a) => a.hash)")
        assert {link[1:] for link in links} <= set(shapes)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        found = axe.Axe().run(page).response["violations"]
        assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
