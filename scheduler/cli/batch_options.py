"""What the commands of a batch job share: its files, its goals, and where it is answered."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from scheduler.cli.options import (
    ANSWER_KINDS,
    endpoint_options,
    engine_options,
    is_given,
    named,
    one_line_errors,
    policy_options,
)

if TYPE_CHECKING:
    from scheduler.batch.inputs.columns import Columns
    from scheduler.batch.run import JobSettings
    from scheduler.config import ServeConfig
    from scheduler.progress import Progress

F = TypeVar("F", bound=Callable[..., Any])
ROOTS = "THINKBUDGET_BATCH_ROOTS"


class TokenNumber(click.ParamType[int]):
    """A number of tokens: 80000000, 80M, 250k."""

    name = "tokens"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        if isinstance(value, int):
            return value
        text, factor = str(value).strip().replace("_", "").replace(",", ""), 1
        for letter, times in (("k", 10**3), ("m", 10**6), ("g", 10**9), ("b", 10**9)):
            if text.lower().endswith(letter):
                text, factor = text[:-1], times
        try:
            tokens = float(text) * factor
            if not 1 <= tokens < 2**53:
                raise ValueError
        except (ValueError, OverflowError):
            self.fail(f"budget must be a positive number of tokens, such as 80M; got {value!r}")
        return int(tokens)


def input_options(command: F) -> F:
    options = [
        click.option("--prompt-column", metavar="NAME",
                     help="Column with the prompt.  [default: prompt, question or problem]"),
        click.option("--id-column", metavar="NAME",
                     help="Column with the id.  [default: custom_id or id, else row-NUMBER]"),
        click.option("--reference-column", metavar="NAME",
                     help="Column with the right answer.  [default: reference or answer]"),
        click.option("--class-column", metavar="NAME",
                     help="Column with the query class.  [default: class or query_class]"),
        click.option("--value-column", metavar="NAME",
                     help="Column with how much a right answer is worth.  [default: value]"),
        click.option("--root", "roots", multiple=True, envvar=ROOTS, metavar="FOLDER",
                     help="Refuse files outside of this folder or URI; may be given several "
                     f"times.  [env: {ROOTS}]"),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def job_options(command: F) -> F:
    """Of `run` and `submit`."""
    options = [
        click.option("-o", "--out", required=True, metavar="OUT", help="File or URI of answers."),
        engine_options,
        policy_options,
        endpoint_options,
        input_options,
        click.option("--cluster", metavar="ADDRESS",
                     help='Put the engines on a Ray cluster: its address, or "auto".'),
        click.option("--replicas", type=click.IntRange(1), default=1, show_default=True,
                     help="Engines on the cluster."),
        click.option("--concurrency", type=click.IntRange(1, 10_000), default=16,
                     show_default=True, help="Rows answered at the same time."),
        click.option("--store", envvar="THINKBUDGET_STORE", metavar="URL",
                     help="Keep the job's row here, and with engines of its own its outcomes "
                     "(docs/store.md).  [env: THINKBUDGET_STORE]"),
        click.option("--budget-tokens", "--budget", type=TokenNumber(), metavar="TOKENS",
                     help="The whole job takes so many tokens at most, as in 80M."),
        click.option("--target-accuracy", type=float, metavar="SHARE",
                     help="Spend until so many answers are right, by what is predicted."),
        click.option("--max-seconds", type=float, metavar="SECONDS",
                     help="End after so many seconds, with the best answers until then."),
        click.option("--partial", is_flag=True,
                     help="Let a budget that cannot hold all rows answer as many as it can."),
        click.option("--answer-kind", type=click.Choice(ANSWER_KINDS),
                     help="What answers are, where a row does not say (docs/requests.md)."),
        click.option("--answer-pattern", metavar="REGEX",
                     help="Finds the answer in a reply: its last match, or the group in it."),
        click.option("--max-retries", type=click.IntRange(0, 100), default=5, show_default=True,
                     help="Tries of a row after errors that pass, in one run."),
        click.option("--max-attempts", type=click.IntRange(1, 255), default=5, show_default=True,
                     help="Runs after which a row that always fails is given up."),
        click.option("--no-retry-failed", is_flag=True,
                     help="Leave rows that an earlier run has failed at."),
        click.option("--strict", is_flag=True, help="End at the first row that cannot be read."),
        click.option("--force", is_flag=True,
                     help="Resume in OUT although another job began it."),
        click.option("--fail-threshold", type=click.FloatRange(0, 1), default=0.0,
                     metavar="SHARE", help="Exit code 0 although so many rows failed."),
        click.option("--progress", "progress_kind", default="auto", show_default=True,
                     type=click.Choice(["auto", "plain", "json"])),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def where(config_file: Path | None, **flags: Any) -> "ServeConfig":
    """The settings of the engines, and of the store. Raises ValueError."""
    from scheduler.settings import read_table
    from scheduler.startup import settings

    table = read_table(config_file) if config_file else {}
    if config_file:
        context = click.get_current_context()
        flags = {name: value for name, value in flags.items() if is_given(context, name)}
    with named(config_file):
        return settings(table, **flags)


def columns_of(
    prompt_column: str | None = None,
    id_column: str | None = None,
    reference_column: str | None = None,
    class_column: str | None = None,
    value_column: str | None = None,
) -> "Columns":
    from scheduler.batch.inputs.columns import Columns

    return Columns().named(
        prompt=prompt_column,
        custom_id=id_column,
        reference=reference_column,
        query_class=class_column,
        value=value_column,
    )


COLUMN_FLAGS = (
    "prompt_column", "id_column", "reference_column", "class_column", "value_column",
)  # fmt: skip


def job_settings(source: str, out: str, flags: dict[str, Any]) -> "JobSettings":
    """The settings of a job by its flags, checked. Ends the command where one is wrong."""
    from scheduler.api.protocol import AnswerOptions
    from scheduler.batch.budget.goals import Goals
    from scheduler.batch.job import Attempts
    from scheduler.batch.run import JobSettings
    from scheduler.batch.storage import locate
    from scheduler.client.http_client import check_endpoint

    given = {"kind": flags.pop("answer_kind"), "pattern": flags.pop("answer_pattern")}
    answer = {name: value for name, value in given.items() if value is not None}
    url, api_key, cluster = flags.pop("url"), flags.pop("api_key"), flags.pop("cluster")
    roots, replicas = flags.pop("roots"), flags.pop("replicas")
    goals = Goals(
        flags.pop("budget_tokens"),
        flags.pop("target_accuracy"),
        flags.pop("max_seconds"),
        flags.pop("partial"),
    )
    attempts = Attempts(
        flags.pop("max_retries") + 1, flags.pop("max_attempts"), not flags.pop("no_retry_failed")
    )
    columns = columns_of(**{name: flags.pop(name) for name in COLUMN_FLAGS})
    concurrency, is_strict = flags.pop("concurrency"), flags.pop("strict")
    AnswerOptions.model_validate(answer)
    if url is not None:
        check_endpoint(url, api_key)
        if cluster is not None:
            raise ValueError("url and cluster exclude each other")
    found = existing(source, roots)
    at = locate(out, roots)
    config = where(flags.pop("config_file"), **flags)
    if url is None and config.curves is None and at.store is None:
        config = replace(config, curves=at.path.removesuffix(".jsonl") + ".curves.json")
    return JobSettings(
        source=found,
        out=at,
        where=url or config,
        goals=goals,
        options={"answer": answer} if answer else {},
        columns=columns,
        concurrency=concurrency,
        attempts=attempts,
        api_key=api_key,
        engines=None if cluster is None else partial(_on_cluster, cluster, replicas),
        is_strict=is_strict,
        store=config.store,
    )


def existing(source: str, roots: tuple[str, ...] = ()) -> Any:
    """The location of an input. Raises ValueError where there is none."""
    from scheduler.batch.storage import locate

    found = locate(source, roots)
    if not found.exists():
        raise ValueError(f"input {source!r} does not exist")
    if found.store is None and Path(found.path).is_dir():
        raise ValueError(f"input {source!r} is a folder; a job reads one file")
    return found


def _on_cluster(address: str, replicas: int, config: "ServeConfig") -> AbstractContextManager[Any]:
    from scheduler.cluster.batch_engines import batch_engines

    return batch_engines(config, address=address, replicas=replicas)


def bar_of(kind: str) -> Callable[[str, int, int], AbstractContextManager["Progress"]]:
    @contextmanager
    def bar(what: str, total: int, done: int) -> Iterator["Progress"]:
        from scheduler.progress import progress

        with progress(what, total, done=done, kind=kind) as shown:  # type: ignore[arg-type]
            yield shown

    return bar


__all__ = [
    "COLUMN_FLAGS", "TokenNumber", "bar_of", "columns_of", "existing", "input_options",
    "job_options", "job_settings", "one_line_errors", "where",
]  # fmt: skip
