"""`thinkbudget ask`: one question."""

from typing import TYPE_CHECKING, Any

import click

from scheduler.cli.options import WrongInput, endpoint_options, engine_options, one_line_errors

if TYPE_CHECKING:
    from scheduler.config import ServeConfig


@click.command()
@click.argument("question")
@engine_options
@endpoint_options
@click.option("--query-class", default="default", show_default=True)
def ask(
    question: str, url: str | None, api_key: str | None, query_class: str, **flags: Any
) -> None:
    """Ask one question, and see what thinking it was worth."""
    import asyncio
    import json

    from scheduler.client.http_client import check_endpoint
    from scheduler.startup import settings

    body = {
        "model": flags["model"],
        "messages": [{"role": "user", "content": question}],
        "metadata": {"query_class": query_class},
    }
    with one_line_errors():
        if url is not None:
            check_endpoint(url, api_key)
        where = url or settings(**flags)
    reply = asyncio.run(_one(body, where, api_key))
    try:
        message = reply["choices"][0]["message"]
    except (LookupError, TypeError):
        raise WrongInput(
            f"the endpoint's reply is no chat completion: {str(reply)[:200]}"
        ) from None
    if thinking := message.get("reasoning"):
        click.secho(thinking, dim=True)
    click.echo(message.get("content") or "")
    # An endpoint of another kind returns only how many tokens it took.
    spent = (reply.get("thinkbudget") or {}).get("spent") or reply.get("usage")
    click.secho(json.dumps(spent), dim=True, err=True)


async def _one(
    body: dict[str, Any], where: "ServeConfig | str", api_key: str | None
) -> dict[str, Any]:
    from scheduler.client.local import answering
    from scheduler.errors import RequestError

    async with answering(where, api_key=api_key) as answer:
        try:
            return await answer(body)
        except RequestError as error:
            raise WrongInput(error.message) from error
