"""Game day: real engines are killed, stopped and overrun, and every request must still end once.

Two engines of the embedded model on real vLLM, real processes killed by their own id. Every row
says what was lost, what was doubled, and how long it took to be whole again.

    python -m benchmarks.gameday [--rows 1,2,...] [--report docs/gameday.md] [--quick]
"""

import asyncio
from pathlib import Path

import click
import httpx

from benchmarks import harness
from benchmarks.gameday.faults import ROWS, STREAMS, TOKENS, FaultResult
from benchmarks.goals import at_most, report
from benchmarks.harness import FaultHarness, body
from scheduler.admission.limits import LimitsConfig
from scheduler.config import EngineConfig, ServeConfig
from scheduler.progress import progress

WATCHDOG_SECONDS = 8.0

HEAD = """# Game day

Two engines of the embedded model on real vLLM (CPU), two gateways; processes are killed by their
own id. `make gameday` runs it again and writes this page. "Lost" is a request that did not get an
end of its own; "other text" one whose text is not, letter for letter, the undisturbed one.

"""


async def run_rows(config: ServeConfig, rows: list[str]) -> list[FaultResult]:
    at, found = FaultHarness(config), []
    await at.whole_again()
    with progress("game day", len(rows)) as bar:
        truth = {n: await at.ask(body(n, TOKENS)) for n in range(STREAMS)}
        assert all(one.whole for one in truth.values()), "the undisturbed streams did not end well"
        for name in rows:
            try:
                finding = await ROWS[name](at, truth)
            except (TimeoutError, httpx.HTTPError, StopIteration, IndexError) as error:
                why = f"{type(error).__name__}: {error}"
                finding = FaultResult(name, "did not come to its end", 0, 0, 0, 0.0, why, False)
            found.append(finding)
            held = "held" if finding.held else "did not hold"
            bar.advance(f"row {finding.row} {held}: {finding.lost} lost, {finding.figures}")
    return found


def table(found: list[FaultResult]) -> str:
    lines = [
        "| row | fault | requests | lost | other text | whole again after | held | figures |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for f in found:
        held = "yes" if f.held else "**no**"
        lines.append(
            f"| {f.row} | {f.fault} | {f.requests} | {f.lost} | {f.doubled} | {f.seconds:.1f} s "
            f"| {held} | {f.figures} |"
        )
    return "\n".join(lines)


@click.command()
@click.option("--rows", default=",".join(ROWS), show_default=True)
@click.option("--port", type=int, default=8123, show_default=True)
@click.option("--report", "page", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--quick", is_flag=True, help="Rows 25, 10 and 2 only.")
def main(rows: str, port: int, page: Path | None, quick: bool) -> None:
    names = ["25", "10", "2"] if quick else rows.split(",")
    if unknown := [name for name in names if name not in ROWS]:
        raise click.UsageError(f"rows must be of {', '.join(ROWS)}, got {unknown[0]!r}")
    engine = EngineConfig(kv_cache_gib=0.3, watchdog_seconds=WATCHDOG_SECONDS)
    limits = LimitsConfig(max_running=64, max_queue=200)
    config = ServeConfig(engine=engine, port=port, replicas=2, gateways=2, limits=limits)
    with harness.open_server(config):
        found = asyncio.run(run_rows(config, names))
    rows_table = table(found)
    print(rows_table)
    if page:
        page.write_text(HEAD + rows_table + "\n", encoding="utf-8")
    goals = {
        "requests lost": at_most(sum(f.lost for f in found), 0),
        "texts that differ": at_most(sum(f.doubled for f in found), 0),
        "rows that did not hold": at_most(sum(not f.held for f in found), 0),
    }
    report(goals)


if __name__ == "__main__":
    main()
