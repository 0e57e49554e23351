"""`thinkbudget reload` and `thinkbudget engines restart`: a running endpoint, without an outage."""

from typing import Any

import click

from scheduler.cli.options import WrongInput, one_line_errors

UNREACHABLE = 5
ADDRESS = "http://127.0.0.1:8000"


def admin_options(command: Any) -> Any:
    """The flags that name a running endpoint, and the key of an administrator."""
    key = click.option("--api-key", envvar="OPENAI_API_KEY", metavar="KEY",
                       help="A key of role admin.  [env: OPENAI_API_KEY]")  # fmt: skip
    url = click.option("--url", default=ADDRESS, show_default=True, help="The running endpoint.")
    return url(key(command))


@click.command()
@admin_options
def reload(url: str, api_key: str | None) -> None:
    """Have a running endpoint read its settings, keys, price and policy again.

    No request is lost. A file with a mistake is refused, and the old settings stay. Engines of
    models that are added are started first, which may take minutes.
    """
    done = _post(url, api_key, "/admin/reload")
    for text in told(done):
        click.echo(text)


@click.group()
def engines() -> None:
    """The engines of a running endpoint."""


@engines.command()
@click.option("--model", help="Only the engines of this model.  [default: of all]")
@admin_options
def restart(url: str, api_key: str | None, model: str | None) -> None:
    """Restart the engines one at a time; the chains of one that leaves go on with the others."""
    done = _post(url, api_key, "/admin/restart", {"model": model} if model else {})
    for name, count in done["restarted"].items():
        click.echo(f"{name}: {count} restarted")


def told(done: dict[str, Any]) -> list[str]:
    """What a reload did, a line each."""
    words = {
        "changed": "changed",
        "models_added": "models added",
        "models_removed": "models removed",
        "restart_needed": "restart needed for",
    }
    lines = [f"{words[name]}: {', '.join(each)}" for name, each in done.items() if each]
    return lines or ["nothing has changed"]


def _post(
    url: str, api_key: str | None, path: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    import asyncio

    from scheduler.client.http_client import Client, Unreachable
    from scheduler.errors import RequestError

    async def ask() -> dict[str, Any]:
        client = Client(url, api_key=api_key, max_retries=0)
        try:
            return await client.post(path, body or {})
        finally:
            await client.close()

    with one_line_errors():
        try:
            return asyncio.run(ask())
        except Unreachable as error:
            click.echo(f"Error: {error}", err=True)
            raise SystemExit(UNREACHABLE) from None
        except RequestError as error:
            raise WrongInput(error.message) from None
