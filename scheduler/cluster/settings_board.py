"""The settings in force, as gateways tell each other: the newest ones, by their number."""

from scheduler.config import ServeConfig


class SettingsBoard:
    """Kept beside the curves. A gateway that comes later, or was away, learns of them here."""

    def __init__(self) -> None:
        self._number, self._settings = 0, None

    _settings: ServeConfig | None

    def put(self, number: int, settings: ServeConfig) -> None:
        if number > self._number:
            self._number, self._settings = number, settings

    def newer(self, number: int) -> tuple[int, ServeConfig | None]:
        """The number of the newest settings, and those, unless the caller has them."""
        return self._number, self._settings if self._number > number else None
