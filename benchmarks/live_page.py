"""What open live pages cost a gateway: CPU time of its event loop, by the thread's own clock, above
what the idle loop takes.

A gateway is one event loop on one core, so the share of a core that the pages take is the most of
its throughput that they can cost. Other load on the machine does not count.
"""

import argparse
import asyncio
import time

import httpx

from benchmarks.goals import at_most, report
from benchmarks.serving.live_server import LiveServer
from scheduler.api.live_page.routes import POLL_SECONDS

PAGES = 100
QUESTIONS = 300
GOAL = 0.03
SETTLING_SECONDS = 15.0


async def open_pages(url: str, count: int, seconds: float, *, obeys: bool) -> tuple[int, int]:
    """Poll as so many pages do; how many replies there were, and their mean size in bytes."""
    ends, replies, size = time.monotonic() + seconds, 0, 0
    async with httpx.AsyncClient(base_url=url, timeout=60.0) as client:

        async def page(number: int) -> None:
            nonlocal replies, size
            await asyncio.sleep(POLL_SECONDS * number / count)
            while time.monotonic() < ends:
                reply = await client.get("/ui/state")
                replies += 1
                size += int(reply.headers["content-length"])
                await asyncio.sleep(reply.json()["poll_seconds"] if obeys else POLL_SECONDS)

        await asyncio.gather(*(page(number) for number in range(count)))
    return replies, size // max(1, replies)


def cost(
    server: LiveServer, count: int, seconds: float, *, idle: float = 0.0, obeys: bool = True
) -> float:
    """Share of one core that the server's thread takes for the pages, above its idle share."""
    assert server.thread.ident is not None
    clock = time.pthread_getcpuclockid(server.thread.ident)
    began, used = time.monotonic(), time.clock_gettime(clock)
    replies, size = asyncio.run(open_pages(server.url, count, seconds, obeys=obeys))
    if not count:
        time.sleep(seconds)
    wall = time.monotonic() - began
    cpu = time.clock_gettime(clock) - used - idle * wall
    print(
        f"{count} pages{'' if obeys else ' that poll every 2 s whatever they are told'}: "
        f"{replies / wall:.1f} polls/s of {size} bytes, {cpu / wall:.2%} of a core, "
        f"{1000 * cpu / max(1, replies):.2f} ms a poll",
        flush=True,
    )
    return cpu / wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="Fewer questions and seconds.")
    is_quick = parser.parse_args().quick
    seconds = 15.0 if is_quick else 60.0
    with LiveServer().running() as server:
        server.ask(QUESTIONS // 5 if is_quick else QUESTIONS)
        idle = cost(server, 0, seconds / 3)
        cost(server, 1, seconds / 3, idle=idle)
        cost(server, PAGES, seconds / 3, idle=idle, obeys=False)
        cost(server, PAGES, SETTLING_SECONDS, idle=idle)
        share = cost(server, PAGES, seconds, idle=idle)
    report({"core_share_of_100_pages": at_most(share, GOAL)})


if __name__ == "__main__":
    main()
