"""Engine arguments as vLLM's own parser reads them."""

import argparse
import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.utils.argparse_utils import FlexibleArgumentParser

from workers.vllm.engine_arguments import REFUSED, argument_name, check_arguments


class _Parser(FlexibleArgumentParser):  # type: ignore[misc]
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def parsed(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with their values as vLLM has them.

    Raises ValueError that names the argument, and the nearest one where it is not known.
    """
    check_arguments(arguments)
    if not arguments:
        return {}
    parser = AsyncEngineArgs.add_cli_args(_Parser(add_help=False))
    actions = {action.dest: action for action in parser._actions if action.option_strings}
    read = {}
    for written, value in arguments.items():
        name = argument_name(written)
        if name not in actions:
            near = difflib.get_close_matches(name, actions.keys() - REFUSED.keys(), n=1, cutoff=0.4)
            advice = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"vllm.{written} is not an engine argument of vLLM{advice}")
        try:
            read[name] = getattr(parser.parse_args(list(_words(actions[name], value))), name)
        except (ValueError, argparse.ArgumentError) as error:
            why = str(error).removeprefix(f"argument {'/'.join(actions[name].option_strings)}: ")
            raise ValueError(f"vllm.{written}: {why}") from None
    return read


def _words(action: argparse.Action, value: object) -> Iterator[str]:
    """The words of a command line that give an argument this value."""
    flag = next(each for each in action.option_strings if each.startswith("--"))
    if isinstance(action, argparse.BooleanOptionalAction):
        match str(value).lower():
            case "true":
                yield flag
            case "false":
                yield f"--no-{flag.removeprefix('--')}"
            case _:
                raise ValueError(f"must be true or false, got {value!r}")
        return
    if isinstance(value, list) and action.nargs in ("+", "*"):
        yield flag
        yield from (str(each) for each in value)
    else:
        text = json.dumps(value) if isinstance(value, bool | dict | list) else str(value)
        yield f"{flag}={text}"  # a value may begin with a dash
