"""docs/settings.md says what the settings are."""

from pathlib import Path

from scheduler.cli.settings_page import page

ROOT = Path(__file__).parents[3]


def test_the_page_is_that_of_the_settings_as_they_are() -> None:
    committed = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert committed == page(), "run: python -m scheduler.cli.settings_page > docs/settings.md"
