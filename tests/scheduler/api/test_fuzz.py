"""A small part of `python -m benchmarks.fuzz`."""

import pytest

from benchmarks.fuzz import run


@pytest.mark.slow
def test_bad_requests_are_refused_in_good_order() -> None:
    found, _ = run(320)
    assert found.bad > 200
    assert (found.failed, found.long) == (0, 0), found.faults
