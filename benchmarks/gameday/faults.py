"""The rows of the game day: what is hurt, and what must hold nevertheless."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import psutil

from benchmarks import harness
from benchmarks.harness import ClientRecord, FaultHarness, body, kill

TOKENS, STREAMS = 600, 8


class FaultResult(NamedTuple):
    """One row. `lost` are requests without an end of their own, `doubled` such with other text."""

    row: str
    fault: str
    requests: int
    lost: int
    doubled: int
    seconds: float
    figures: str
    held: bool


Row = Callable[[FaultHarness, dict[int, ClientRecord]], Awaitable[FaultResult]]


def judged(
    row: str,
    fault: str,
    records: list[ClientRecord],
    truth: list[ClientRecord],
    seconds: float,
    figures: str,
) -> FaultResult:
    """Whole streams are the truth, letter for letter; anything else is a loss."""
    lost = sum(not one.whole for one in records)
    doubled = sum(
        one.whole and not one.says_as(right) for one, right in zip(records, truth, strict=True)
    )
    return FaultResult(
        row, fault, len(records), lost, doubled, seconds, figures, lost + doubled == 0
    )


async def streams_through(
    at: FaultHarness,
    truth: dict[int, ClientRecord],
    hurt: Callable[[], Awaitable[None]],
    row: str,
    fault: str,
) -> FaultResult:
    """Streams under way while something is hurt."""
    asked = [asyncio.create_task(at.ask(body(n, TOKENS))) for n in range(STREAMS)]
    await asyncio.sleep(1.0)
    await hurt()
    records = await asyncio.gather(*asked)
    seconds = await at.whole_again()
    silence = max(one.silence for one in records)
    moves = sum(one.account.get("spent", {}).get("retries", 0) for one in records)
    figures = f"longest silence {silence:.1f} s, {moves} moves"
    return judged(row, fault, records, [truth[n] for n in range(STREAMS)], seconds, figures)


async def row_1(at: FaultHarness, truth: dict[int, ClientRecord]) -> FaultResult:
    async def hurt() -> None:
        kill((await at.busy() or at.processes(harness.ENGINE))[0])

    return await streams_through(at, truth, hurt, "1", "an engine's process is killed mid-stream")


async def row_2(at: FaultHarness, truth: dict[int, ClientRecord]) -> FaultResult:
    async def hurt() -> None:
        kill(at.core_of((await at.busy() or at.processes(harness.ENGINE))[0]))

    return await streams_through(at, truth, hurt, "2", "only vLLM's core is killed mid-stream")


async def row_3(at: FaultHarness, truth: dict[int, ClientRecord]) -> FaultResult:
    async def hurt() -> None:
        core = at.core_of((await at.busy() or at.processes(harness.ENGINE))[0])
        os.kill(core.pid, signal.SIGSTOP)

    found = await streams_through(at, truth, hurt, "3a", "an engine's core hangs (SIGSTOP)")
    return found


async def row_3_process(at: FaultHarness, truth: dict[int, ClientRecord]) -> FaultResult:
    async def hurt() -> None:
        engine = (await at.busy() or at.processes(harness.ENGINE))[0]
        os.kill(engine.pid, signal.SIGSTOP)

    return await streams_through(at, truth, hurt, "3b", "an engine's whole process hangs (SIGSTOP)")


async def row_4(at: FaultHarness, truth: dict[int, ClientRecord]) -> FaultResult:
    votes = {"policy": "majority", "samples": 16, "max_thinking_tokens": TOKENS, "extensions": 8}
    wanted = body(0, TOKENS, stream=False, temperature=1.0, thinkbudget=votes)
    asked = [asyncio.create_task(at.ask(wanted)) for _ in range(2)]
    await asyncio.sleep(1.0)
    kill((await at.busy() or at.processes(harness.ENGINE))[0])
    records = await asyncio.gather(*asked)
    seconds = await at.whole_again()
    lost = sum(not one.whole for one in records)
    chains = [one.account.get("spent", {}).get("chains") for one in records]
    figures = f"chains that voted {chains}, asked for 16"
    held = lost == 0 and chains == [16, 16]
    return FaultResult("4", "the engine of a vote is killed", 2, lost, 0, seconds, figures, held)


async def row_5(at: FaultHarness, truth: dict[int, ClientRecord]) -> FaultResult:
    for engine in at.processes(harness.ENGINE):
        kill(engine)
    asked = [at.ask(body(n, TOKENS)) for n in range(STREAMS)]
    records = await asyncio.gather(*asked)
    seconds = await at.whole_again()
    answered = [one for one in records if one.whole]
    refused = [one for one in records if one.refused]
    lost = len(records) - len(answered) - len(refused)
    slowest = max(one.seconds for one in records)
    figures = f"{len(answered)} waited, {len(refused)} got 503, slowest {slowest:.1f} s"
    return FaultResult(
        "5", "all engines are killed", len(records), lost, 0, seconds, figures, lost == 0
    )


async def row_6_controller(at: FaultHarness, truth: dict[int, ClientRecord]) -> FaultResult:
    async def hurt() -> None:
        kill(at.processes(harness.SERVE_CONTROLLER)[0])

    return await streams_through(at, truth, hurt, "6a", "Serve's controller is killed")


async def row_6_gateway(at: FaultHarness, truth: dict[int, ClientRecord]) -> FaultResult:
    asked = [asyncio.create_task(at.ask(body(n, TOKENS))) for n in range(STREAMS)]
    await asyncio.sleep(1.0)
    kill(at.processes(harness.GATEWAY)[0])
    began = time.monotonic()
    new = await at.ask(body(0, 8))
    first = time.monotonic() - began
    records = await asyncio.gather(*asked)
    seconds = await at.whole_again()
    broken = [one for one in records if not one.whole]
    false_ends = sum(one.done for one in broken)
    doubled = sum(o.whole and not o.says_as(truth[n]) for n, o in enumerate(records))
    figures = (
        f"{len(broken)} streams of the killed half broke, {false_ends} with a false [DONE]; "
        f"a new request took {first:.1f} s"
    )
    held = new.whole and not false_ends and not doubled
    lost = int(not new.whole) + false_ends
    return FaultResult(
        "6b", "one of two gateways is killed", 9, lost, doubled, seconds, figures, held
    )


async def row_10(at: FaultHarness, truth: dict[int, ClientRecord]) -> FaultResult:
    votes = {"policy": "majority", "samples": 8, "max_thinking_tokens": 1500, "extensions": 20}
    wanted: list[tuple[str, dict[str, Any]]] = [
        ("stream", body(0, 1500)),
        ("unary", body(0, 1500, stream=False)),
        ("vote", body(0, 1500, stream=False, temperature=1.0, thinkbudget=votes)),
    ]
    times = []
    for _, one in wanted:
        asking = asyncio.create_task(at.client.post(harness.CHAT, json=one))
        began = await harness.until(lambda: _running(at), at_most=10)
        asking.cancel()
        times.append(await at.idle_within(10) if began else float("inf"))
    shown = ", ".join(f"{name} {at_:.2f} s" for (name, _), at_ in zip(wanted, times, strict=True))
    held = all(seconds <= 1.0 for seconds in times)
    return FaultResult(
        "10", "the client leaves", 3, sum(t > 1 for t in times), 0, max(times), shown, held
    )


async def _running(at: FaultHarness) -> bool:
    return any(load.running for load in await at.loads())


async def row_11(at: FaultHarness, truth: dict[int, ClientRecord]) -> FaultResult:
    """A hundred clients that read one byte a second, beside one that reads as usual."""
    before = _memory()
    readers = [asyncio.create_task(_sip(at, n)) for n in range(100)]
    await asyncio.sleep(20)
    usual = await at.ask(body(1, TOKENS))
    grown = (_memory() - before) / 2**20
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    seconds = await at.whole_again()
    figures = f"memory of the gateways and the proxy grew by {grown:.0f} MB"
    held = usual.whole and usual.says_as(truth[1]) and grown < 50
    return FaultResult(
        "11", "100 slow readers", 101, int(not usual.whole), 0, seconds, figures, held
    )


def _memory() -> int:
    processes = [
        process
        for name in (harness.GATEWAY, harness.PROXY)
        for process in psutil.Process().children(recursive=True)
        if name in harness.title(process)
    ]
    return sum(process.memory_info().rss for process in processes)


async def _sip(at: FaultHarness, number: int) -> None:
    port = at.config.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    data = json.dumps(body(number % 8, 300)).encode()
    head = (
        f"POST {harness.CHAT} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(data)}\r\n"
    )
    writer.write(head.encode() + b"Content-Type: application/json\r\n\r\n" + data)
    try:
        while await reader.read(1):
            await asyncio.sleep(1)
    finally:
        writer.close()


async def row_12(at: FaultHarness, truth: dict[int, ClientRecord]) -> FaultResult:
    """A thousand at once."""
    began = time.monotonic()
    records = await asyncio.gather(*(at.ask(body(n % 8, 32, stream=False)) for n in range(1000)))
    took = time.monotonic() - began
    seconds = await at.whole_again()
    answered = [one for one in records if one.whole]
    refused = [
        one
        for one in records
        if one.status in (429, 503) and one.error and "retry-after" in one.headers
    ]
    lost = len(records) - len(answered) - len(refused)
    slowest = max((one.seconds for one in answered), default=0.0)
    figures = (
        f"{len(answered)} answered (slowest {slowest:.1f} s), {len(refused)} refused with "
        f"Retry-After, in {took:.1f} s"
    )
    held = lost == 0 and bool(answered)
    return FaultResult("12", "1,000 requests at once", 1000, lost, 0, seconds, figures, held)


async def row_19(at: FaultHarness, truth: dict[int, ClientRecord]) -> FaultResult:
    """A request that kills every engine it runs on.

    The engine under it is killed at once: a request that goes on for half a second is cleared.
    """
    poison = asyncio.create_task(at.ask(body(7, 1500)))
    deaths = 0
    while not poison.done() and deaths < 4:
        busy = await at.busy(seconds=0.05)
        if busy and not poison.done():
            kill(at.core_of(busy[0]))
            deaths += 1
            await asyncio.sleep(0.05)
    poisoned = await poison
    began = time.monotonic()
    again = await at.ask(body(7, 1500))
    at_once = time.monotonic() - began
    others = await asyncio.gather(*(at.ask(body(n, 64)) for n in range(4)))
    seconds = await at.whole_again()
    codes = [(one.error or {}).get("code") for one in (poisoned, again)]
    figures = f"{deaths} engines died, replies {codes}, the second within {at_once:.2f} s"
    lost = sum(not one.whole for one in others)
    held = deaths == 2 and codes == ["poison_request"] * 2 and at_once < 1 and not lost
    return FaultResult("19", "a poison request", 6, lost, 0, seconds, figures, held)


async def row_25(at: FaultHarness, truth: dict[int, ClientRecord]) -> FaultResult:
    """The same request twice, with one key: while it runs, and after it has ended."""
    key = {"Idempotency-Key": f"gameday-{time.time()}"}
    wanted = body(2, TOKENS, stream=False)
    first, second = await asyncio.gather(at.ask(wanted, **key), at.ask(wanted, **key))
    third = await at.ask(wanted, **key)
    records = [first, second, third]
    ids = {one.account.get("outcome_id") for one in records}
    lost = sum(not one.whole for one in records)
    figures = f"{len(ids)} execution(s) for 3 requests"
    held = lost == 0 and len(ids) == 1
    return FaultResult("25", "the same request again", 3, lost, 0, 0.0, figures, held)


ROWS: dict[str, Row] = {
    "25": row_25,
    "10": row_10,
    "11": row_11,
    "12": row_12,
    "1": row_1,
    "2": row_2,
    "3a": row_3,
    "3b": row_3_process,
    "4": row_4,
    "5": row_5,
    "6a": row_6_controller,
    "6b": row_6_gateway,
    "19": row_19,
}
