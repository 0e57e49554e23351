"""On virtual time waiting is free, and things happen in their order."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.simulated.clock import run_virtual


def test_an_hour_of_sleep_moves_the_clock_by_an_hour() -> None:
    async def main() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 3600.0


def test_a_sleep_longer_than_a_day_takes_its_whole_time() -> None:
    async def main() -> float:
        await asyncio.sleep(100 * 86400)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 100 * 86400.0


def test_every_run_starts_at_second_zero() -> None:
    async def main() -> float:
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(5)
        return began

    assert [run_virtual(main()) for _ in range(2)] == [0.0, 0.0]


def test_work_takes_no_time() -> None:
    async def main() -> float:
        await asyncio.gather(*(asyncio.sleep(0) for _ in range(100)))
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 0.0


@given(st.lists(st.integers(0, 10**6), unique=True, max_size=30))
def test_timers_go_off_in_their_order_and_on_time(milliseconds: list[int]) -> None:
    async def main() -> list[tuple[int, float]]:
        loop = asyncio.get_running_loop()
        gone_off: list[tuple[int, float]] = []

        async def timer(delay: int) -> None:
            await asyncio.sleep(delay / 1000)
            gone_off.append((delay, loop.time()))

        await asyncio.gather(*(timer(delay) for delay in milliseconds))
        return gone_off

    gone_off = run_virtual(main())
    assert [delay for delay, _ in gone_off] == sorted(milliseconds)
    assert [at for _, at in gone_off] == pytest.approx([delay / 1000 for delay, _ in gone_off])


def test_a_timeout_cuts_a_sleep_at_its_second() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await asyncio.sleep(1000)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 10.0


def test_a_run_gives_back_its_result_or_its_error() -> None:
    async def fails() -> None:
        await asyncio.sleep(1)
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        run_virtual(fails())


def test_what_waits_for_ever_beside_a_ticking_timer_ends_with_an_error() -> None:
    async def main() -> None:
        ticks = asyncio.create_task(tick())
        await asyncio.Event().wait()
        ticks.cancel()

    async def tick() -> None:
        while True:
            await asyncio.sleep(2)

    with pytest.raises(TimeoutError, match="not done after 100 s of virtual time"):
        run_virtual(main(), latest=100.0)
