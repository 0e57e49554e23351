"""What votes and extensions bring to other chains than those that they are known of."""

from policies.plan import Forecast


def share_of_gain(once: float, first: float, error: float) -> float:
    """What votes bring to chains that are right so often, over those that are `first`.

    A difference that is no larger than its standard error is no difference.
    """
    apart = once - first
    once = first + apart**3 / (apart**2 + (2 * error) ** 2)
    return max(1e-3, min(once / first, (1 - once) / (1 - first)))


def errors_over(accuracy: float, usual: float) -> float:
    """Errors over the usual ones: what puts some right does so in like share among all chains."""
    return (1 - accuracy) / max(1e-3, 1 - usual)


def with_errors(accuracy: float, ratio: float) -> float:
    return clipped(1 - (1 - accuracy) * ratio)


def extended(once: Forecast, ratio: float, tokens: float) -> Forecast:
    return Forecast(with_errors(once.accuracy, ratio), max(1.0, once.tokens + tokens))


def clipped(accuracy: float) -> float:
    """Sums of estimates may come to more than 1, or less than 0."""
    return min(0.999, max(0.001, accuracy))
