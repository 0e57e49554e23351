"""How a cell's questions are asked: of a controller in this process, or of an endpoint."""

import os
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from policies.base import Message, Query
from policies.sampling import SamplingParams
from scheduler.config import EngineConfig
from scheduler.curves.wal import DurableCurveStore, save
from scheduler.engines.verifier import make_verifier
from scheduler.errors import InvalidRequest, PolicyFailed, RequestError
from scheduler.experiments.cells import SERVER, ExperimentCell, built, learns
from scheduler.experiments.grading import Judge
from scheduler.experiments.results import ResultRow
from scheduler.experiments.rows import Asked, row_of_failure, row_of_outcome, row_of_reply
from scheduler.experiments.settings import EndpointConfig, ExperimentConfig
from scheduler.solving.controller import Controller
from scheduler.solving.pricing import Pricing
from workers.answers.grader import Grader
from workers.engine import Engine
from workers.replayed import NOT_RECORDED


class Answered(NamedTuple):
    """A row, and the whole outcome where there is one."""

    row: ResultRow
    outcome: dict[str, Any] | None = None


AskQuestion = Callable[[Asked], Awaitable[Answered]]


@asynccontextmanager
async def local(
    config: ExperimentConfig,
    cell: ExperimentCell,
    engine: Engine,
    grader: Grader,
    judge: Judge,
    *,
    curves_at: Path,
    is_live: bool,
    keeps_outcomes: bool,
    done: list[ResultRow],
) -> AsyncIterator[AskQuestion]:
    """A controller that starts cold, or from the curves and the `done` rows of a live cell.

    The curves are left in `curves_at`.
    """
    pricing = Pricing.of(config.pricing)
    for row in done:
        if row["error"] is None:
            pricing.settle(
                row["tokens"],
                predicted=row["predicted"],
                right=row["correct"] if row["labelled"] else None,
            )
    asked = config.named_engines[cell.engine]
    own = asked if isinstance(asked, EngineConfig) else None
    learn = is_live or learns(config, cell.policy)
    with DurableCurveStore(
        curves_at if is_live else None, round_tokens=config.pricing.round_tokens
    ) as curves:
        controller = Controller(
            engine=engine,
            info=await engine.info(),
            policy=built(config, cell.policy),
            curves=curves,
            pricing=pricing,
            seed=cell.seed,
            grader=grader,
            verifier=make_verifier(config.verifier, own),
        )

        async def ask(asked: Asked) -> Answered:
            try:
                outcome = await controller.answer(_query(config, asked), learn=learn)
            except PolicyFailed as failed:
                return Answered(
                    row_of_failure(asked, failed.message, spent=failed.spent, counts=True)
                )
            except InvalidRequest as refused:
                if refused.code != NOT_RECORDED:
                    raise
                why = f"{refused.message}; {_how_to_record(refused.field)}"
                return Answered(row_of_failure(asked, why, spent=0, counts=False))
            row = await row_of_outcome(asked, outcome, judge)
            line = _line(asked, outcome.as_dict(), row) if keeps_outcomes else None
            return Answered(row, line)

        yield ask
        if not is_live and learn:
            save(curves.store, curves_at)


@asynccontextmanager
async def endpoint(
    config: ExperimentConfig,
    cell: ExperimentCell,
    where: EndpointConfig,
    judge: Judge,
    *,
    keeps_outcomes: bool,
) -> AsyncIterator[AskQuestion]:
    """Each cell is a class of queries of its own there, so that it starts cold."""
    from scheduler.client.http_client import Client

    client = Client(where.url, api_key=os.environ.get(where.api_key_env))
    try:
        model = where.model or await first_model(client)
        policy = config.named_policies[cell.policy]
        learn = policy.name == SERVER or learns(config, cell.policy)
        budget = dict(policy.options)
        if policy.name != SERVER:
            budget |= {"policy": policy.name, "learn": learn}
        if keeps_outcomes:
            budget["trace"] = True

        async def ask(asked: Asked) -> Answered:
            question, spec = asked.question, asked.question.spec
            options = budget | {"query_class": f"{cell.name}~{question.query_class}"[-100:]}
            if config.max_total_tokens is not None:
                options["max_total_tokens"] = config.max_total_tokens
            if config.target_accuracy is not None:
                options["target_accuracy"] = config.target_accuracy
            if asked.labelled:
                options["reference_answer"] = question.answer
            options["answer"] = {"kind": spec.kind, "choices": list(spec.choices)}
            body = {
                "model": model,
                "messages": [{"role": "user", "content": question.question}],
                "seed": _seed(asked),
                "thinkbudget": options,
            }
            # However long its chains think.
            reply = await client.post("/v1/chat/completions", body)
            try:
                row = await row_of_reply(asked, reply, judge)
                told = reply["thinkbudget"]["trace"] if keeps_outcomes else None
                return Answered(row, told and _line(asked, told, row))
            except (KeyError, TypeError):
                message = f"{where.url} is no thinkbudget server: its reply has no account"
                raise RequestError(message, code="invalid_response") from None

        yield ask
    finally:
        await client.close()


async def first_model(client: Any) -> str:
    """The first model that an endpoint lists."""
    listed = await client.get("/models")
    try:
        return str(listed["data"][0]["id"])
    except (LookupError, TypeError):
        raise RequestError(f"{client.url} lists no models", code="invalid_response") from None


def _how_to_record(field: str | None) -> str:
    """What of `thinkbudget collect` records the missing part of a request."""
    part = (field or "").removeprefix("thinkbudget.")
    flags = {
        "samples": "--samples and --greedy",
        "extensions": "--extensions, of the first chain of each kind",
        "probing": "--probes",
        "signals": "--confidence",
        "max_thinking_tokens": "--max-thinking-tokens",
    }
    return f"`thinkbudget collect` records them ({flags.get(part, '--help')})"


def _line(asked: Asked, outcome: dict[str, Any], row: ResultRow) -> dict[str, Any]:
    """The outcome as it is logged, with what a replay needs beside it."""
    spec = asked.question.spec
    return outcome | {
        "class": asked.question.query_class,
        "policy": asked.cell.policy,
        "seed": asked.cell.seed,
        "question_id": asked.question.id,
        "reference": asked.question.answer,
        "correct": row["correct"],
        "answer_spec": {"kind": spec.kind, "choices": list(spec.choices)},
    }


def _query(config: ExperimentConfig, asked: Asked) -> Query:
    question, cell = asked.question, asked.cell
    return Query(
        id=f"{cell.policy}-{cell.seed}-{question.id}",
        messages=(Message("user", question.question),),
        query_class=question.query_class,
        limits=config.limits,
        reference=question.answer if asked.labelled else None,
        sampling=replace(SamplingParams(), seed=_seed(asked), answer=question.spec),
    )


def _seed(asked: Asked) -> int:
    """The same for every policy: where an engine heeds it, all meet the same chains."""
    return zlib.crc32(f"{asked.cell.seed}/{asked.question.id}".encode()) >> 1
