"""What commands share: the flags of an engine, and how wrong input ends."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

# Of policies/__init__.py, which is heavy to import; a test holds them together.
POLICY_NAMES = (
    "adaptive_consistency", "bayesian_stopping", "best_of_n", "blend", "certified",
    "class_conditional", "collect", "deepconf", "deepconf_online", "deer", "difficulty_knapsack",
    "dynasor", "early_stopping", "fixed", "majority", "ppr", "priced", "rebase",
    "rejection_sampling", "step_conditional", "token_conditional",
)  # fmt: skip

# Of policies/answer_spec.py; a test holds them together, too.
ANSWER_KINDS = ("auto", "number", "math", "choice", "text", "json", "none")

F = TypeVar("F", bound=Callable[..., Any])


class WrongInput(click.ClickException):
    """A file, setting or address is wrong: one line says what, without the command's usage."""

    exit_code = 2


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Wrong input ends a command with one line and exit code 2."""
    try:
        yield
    except ValueError as error:
        raise WrongInput(" ".join(str(error).split())) from error


@contextmanager
def named(file: Path | None) -> Iterator[None]:
    """Name the file in what is wrong with it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{file}: {error}" if file else str(error)) from error


def is_given(context: click.Context, flag: str) -> bool:
    """Whether the caller has named a flag, on the command line or in the environment."""
    source = context.get_parameter_source(flag)
    return source in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)


def _pairs(
    context: click.Context, parameter: click.Parameter, pairs: tuple[str, ...]
) -> dict[str, Any] | None:
    """KEY=VALUE, where a value is JSON if it can be read as such, and else a text."""
    found = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not name or not sign:
            raise click.BadParameter(f"{pair!r} is no KEY=VALUE")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found or None


def policy_options(command: F) -> F:
    """The flags for options of the policy, and for the file of what is learned."""
    options = [
        click.option("--policy-option", "policy_options", multiple=True, metavar="KEY=VALUE",
                     callback=_pairs, help="An option of the policy, such as samples=8; may be "
                     "given several times."),
        click.option("--curves", type=click.Path(dir_okay=False),
                     help="Keep the learned curves in this file."),
        click.option("--config", "config_file", type=click.Path(path_type=Path),
                     help="Read settings from this TOML file; flags given beside it win."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def _vllm_arguments(
    context: click.Context, parameter: click.Parameter, pairs: tuple[str, ...]
) -> dict[str, Any] | None:
    from workers.vllm.engine_arguments import read_pairs

    try:
        return read_pairs(pairs) or None
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def engine_options(command: F) -> F:
    """The flags that say which model thinks, and by which policy."""
    options = [
        click.option("--model", default="s1-pocket", show_default=True,
                     help="Name on the hub, or folder."),
        click.option("--engine", "kind", default="vllm", show_default=True,
                     type=click.Choice(["vllm", "simulated", "replayed"])),
        click.option("--format", "format_", metavar="NAME",
                     help="Thinking format: s1, s1-steps or think-tags.  [default: by the model's "
                     "name]"),
        click.option("--max-model-len", type=int, help="Context in tokens."),
        click.option("--vllm", multiple=True, metavar="KEY=VALUE", callback=_vllm_arguments,
                     help="An engine argument of vLLM's own, such as quantization=fp8; may be "
                     "given several times."),
        click.option("--policy", default="priced", show_default=True, metavar="NAME",
                     help=f"One of {', '.join(POLICY_NAMES)}; or one of your own, FILE.py:CLASS."),
        click.option("--price", type=float, metavar="ACCURACY",
                     help="How much the chance of a right answer must rise per extra token, or "
                     "thinking stops. Lower thinks more; 0.0003 is 3 points per 100 tokens.  "
                     "[default: 0.0003]"),
        click.option("--answer-tokens", type=int, default=512, show_default=True,
                     help="Tokens reserved for the answer of a chain."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def endpoint_options(command: F) -> F:
    """The flags that name a running endpoint to use instead of an engine in this process."""
    options = [
        click.option("--url", help="A running endpoint, such as http://127.0.0.1:8000."),
        click.option("--api-key", envvar="OPENAI_API_KEY", metavar="KEY",
                     help="The endpoint's key.  [env: OPENAI_API_KEY]"),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command
