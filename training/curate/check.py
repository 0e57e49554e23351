"""Looks at everything that a curation will use, before anything is spent.

`thinkbudget curate STAGE CONFIG.toml --check` runs all of it. Of an endpoint it asks one
question, the first of a local source if there is one; the teacher has to think about it.
"""

import asyncio

from scheduler.errors import RequestError
from training.curate.asking import Connect, body_of
from training.curate.pipeline import endpoints_of
from training.curate.quality import load_tokenizer
from training.curate.reading import check_columns, found, questions_of
from training.curate.replies import parse
from training.curate.settings import Curation, Endpoint

QUESTION = "What is 17 + 25?"


def check(settings: Curation, steps: list[str], connect: Connect) -> list[str]:
    """What was looked at, a line each. Raises ValueError that names the field and the value."""
    seen = []
    question = _question(settings)
    for step in steps:
        if step in ("load", "decontaminate"):
            given = settings.sources if step == "load" else settings.decontaminate.tests
            for each in given:
                source = found(each, hub=settings.hub, is_test=step == "decontaminate")
                check_columns(source)
                where = source.path or source.hub or "the hub (not read)"
                seen.append(f"{step}: {each.name} from {where}")
        elif step == "quality":
            load_tokenizer(settings.quality.tokenizer)
            seen.append(f"quality: tokenizer {settings.quality.tokenizer}")
        for name, endpoint in endpoints_of(settings, step).items():
            where = f"{step}.{name}"
            asyncio.run(_ask(endpoint, question, where, connect, step == "traces"))
            seen.append(f"{where}: {endpoint.model} at {endpoint.url or 'this process'} answers")
    return seen


def _question(settings: Curation) -> str:
    """What models are asked: a program of the user's own may know no other questions."""
    for each in settings.sources:
        source = found(each)
        if source.path is not None:
            check_columns(source)
            return str(next(questions_of(source))["question"])
    return QUESTION


async def _ask(
    endpoint: Endpoint, question: str, where: str, connect: Connect, must_think: bool
) -> None:
    what = f"{where}.url {endpoint.url!r}" if endpoint.url else f"{where}.model {endpoint.model!r}"
    try:
        async with connect(endpoint) as answer:
            reply = parse(await answer(body_of(endpoint, question)))
    except RequestError as error:
        raise ValueError(f"{what}: {error.message}") from None
    if must_think and not reply.thinking:
        raise ValueError(f"{what}: the model {endpoint.model!r} returns no thinking")
