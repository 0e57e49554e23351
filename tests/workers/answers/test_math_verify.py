"""What is the same to math-verify is the same here, and every exception has a reason."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import math_verify
import pytest

from tests.workers.answers.pools import RealPool, real_pool
from workers.answers.find import find_answer

pytestmark = pytest.mark.slow

DATA = Path(__file__).parent / "data" / "math_verify_pairs.jsonl"
PAIRS: list[dict[str, Any]] = [
    json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()
]


@pytest.fixture(scope="module", name="math")
def fixture_math() -> Iterator[RealPool]:
    yield from real_pool()


def by_math_verify(one: str, other: str) -> bool:
    """With its own settings; either may be the reference."""
    config = [math_verify.LatexExtractionConfig()]
    first, second = (math_verify.parse(f"${latex}$", config) for latex in (one, other))
    return bool(math_verify.verify(first, second) or math_verify.verify(second, first))


def test_there_are_many_pairs_and_each_difference_is_explained() -> None:
    assert len(PAIRS) >= 300
    assert sum(pair["same"] for pair in PAIRS) >= 100
    for pair in PAIRS:
        assert ("why" in pair) == (pair["same"] != pair["math_verify"]), pair
        assert len(pair.get("why", "a reason of some length")) > 20, pair


def test_pairs_are_the_same_here_and_to_math_verify_as_told(math: RealPool) -> None:
    async def same(pair: dict[str, Any]) -> bool:
        one, other = (find_answer(f"\\boxed{{{pair[side]}}}") for side in ("one", "other"))
        assert one is not None
        assert other is not None
        return (await math.equality.same(one, other)).same

    async def ours() -> list[bool]:
        return await asyncio.gather(*map(same, PAIRS))

    here = math.run(ours())
    assert [pair for pair, same in zip(PAIRS, here, strict=True) if same != pair["same"]] == []
    other = [by_math_verify(pair["one"], pair["other"]) for pair in PAIRS]
    assert [p for p, same in zip(PAIRS, other, strict=True) if same != p["math_verify"]] == []
