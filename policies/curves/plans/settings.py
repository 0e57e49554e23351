"""How one chain may be spent: how far it thinks, and what ends it earlier or sends it on."""

from typing import Literal, NamedTuple

SettingKind = Literal["whole", "exit", "forced", "extend"]


class ChainSetting(NamedTuple):
    """To its own end; until more thinking does not pay; with so many extensions forced in one go;
    or extended, end by end, while that pays."""

    kind: SettingKind = "whole"
    #: The number of extensions, or the price of the rule.
    value: float = 0.0
    #: Whether its chains are asked for trial answers, and for one before every extension, even if
    #: only to learn.
    tried: bool = False

    @property
    def forced(self) -> int:
        """Extensions that are forced in one go."""
        return 0 if self.tried else self.number

    @property
    def number(self) -> int:
        """Extensions that are forced, whatever the answers."""
        return int(self.value) if self.kind == "forced" else 0

    @property
    def is_stepwise(self) -> bool:
        """Whether its chains are extended end by end."""
        return self.kind == "extend" or (self.tried and self.number > 0)

    def is_dearer(self, price: float) -> bool:
        """Whether its rule is that of dearer tokens."""
        return self.kind in ("exit", "extend") and self.value > price * 1.001

    def at(self, ratio: float) -> "ChainSetting":
        """The same where tokens are so many times as dear."""
        return self._replace(value=self.value * ratio) if self.kind in ("exit", "extend") else self

    def __str__(self) -> str:
        """As people read it: "to its own end", "2 extensions"."""
        if self.kind == "exit":
            return "until more thinking does not pay"
        if self.kind == "extend":
            return "extended while that pays"
        if self.number:
            return f"{self.number} extension{'s' if self.number > 1 else ''}"
        return "to its own end"
