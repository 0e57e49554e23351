"""What commands share: the flags of an engine, and how wrong input ends."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Wrong input ends a command with one line and exit code 2."""
    try:
        yield
    except ValueError as error:
        raise click.UsageError(" ".join(str(error).split())) from error


def engine_options(command: F) -> F:
    """The flags that say which model thinks, and by which policy."""
    options = [
        click.option("--model", default="s1-pocket", show_default=True, help="Name or folder."),
        click.option("--engine", "kind", default="vllm", show_default=True, metavar="KIND",
                     help="vllm, or simulated."),
        click.option("--format", "format_", metavar="NAME",
                     help="s1 or think-tags.  [default: by the model's name]"),
        click.option("--max-model-len", type=int, help="Context in tokens."),
        click.option("--policy", default="priced", show_default=True,
                     help="fixed, majority, adaptive_consistency or priced."),
        click.option("--price", type=float, default=3e-4, show_default=True,
                     help="Accuracy that one token must buy."),
        click.option("--answer-tokens", type=int, default=512, show_default=True,
                     help="Tokens reserved for the answer of a chain."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command
