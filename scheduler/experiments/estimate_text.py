"""An estimate as text: its value, and its 95 % interval in brackets."""

from scheduler.experiments.metrics.bootstrap import Estimate


def percent(each: Estimate) -> str:
    return f"{each.value:.1%} ({each.low:.1%} to {each.high:.1%})"


def points(each: Estimate) -> str:
    """A difference of shares, in percentage points."""
    return signed(Estimate(*(100 * value for value in each)))


def signed(each: Estimate) -> str:
    return f"{each.value:+.1f} ({each.low:+.1f} to {each.high:+.1f})"


def number(each: Estimate) -> str:
    return f"{each.value:.1f} ({each.low:.1f} to {each.high:.1f})"


def times(each: Estimate) -> str:
    return f"{each.value:.2f}x ({each.low:.2f} to {each.high:.2f})"
