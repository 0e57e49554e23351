"""An engine behind any server with OpenAI's text completions; chains are forced from here."""

import os
from pathlib import Path
from typing import Any, NamedTuple

from scheduler.client.http_client import Client
from scheduler.errors import RequestError, UnknownModel
from scheduler.experiments.completions_core import CompletionsCore
from scheduler.experiments.settings import CompletionsConfig
from workers.drivers.chain_engine import ChainEngine, ChainOptions
from workers.format import TokenFormat, bind, named_format
from workers.models import locate, thinking_format
from workers.recommended import ends_of_turn, read_settings, recommended
from workers.vocabulary import load_tokenizer

THINKBUDGET = "thinkbudget"
"""Who owns a model, by the list of a thinkbudget server."""


class ServedModel(NamedTuple):
    """A model as a server lists it. `root` is where the server has it from, as vLLM tells it."""

    name: str
    owner: str = ""
    root: str = ""
    max_model_len: int | None = None


async def served_model(client: Client, name: str | None) -> ServedModel:
    """The model of this name, or the first that the server lists. Raises RequestError.

    A thinkbudget server knows a model by the last part of its name, too.
    """
    listed = await client.get("/models")
    try:
        cards = {str(card["id"]): card for card in listed["data"]}
    except (KeyError, TypeError):
        cards = {}
    if not cards:
        raise RequestError(f"{client.url} lists no models", code="invalid_response") from None
    ours = [each for each, card in cards.items() if card.get("owned_by") == THINKBUDGET]
    known = {each.rsplit("/", 1)[-1]: each for each in ours} | {each: each for each in cards}
    if name is not None and name not in known:
        raise UnknownModel(name, ", ".join(cards))
    card = cards[known[name] if name else next(iter(cards))]
    room = card.get("max_model_len")
    return ServedModel(
        name or str(card["id"]),
        str(card.get("owned_by") or ""),
        str(card.get("root") or ""),
        room if isinstance(room, int) else None,
    )


class CompletionsEngine(ChainEngine):
    """`says` is what its server says of its tokens."""

    def __init__(self, core: CompletionsCore, format_: TokenFormat, options: ChainOptions) -> None:
        super().__init__(core, format_, options)
        self.says = core.says


async def completions_engine(config: CompletionsConfig) -> CompletionsEngine:
    """Raises RequestError, and ValueError for what cannot be known from the server alone."""
    client = Client(config.url, api_key=os.environ.get(config.api_key_env))
    try:
        model = await served_model(client, config.model)
        room = config.max_model_len or model.max_model_len
        if room is None:
            raise ValueError(f"{client.url} does not list its context; max_model_len states it")
        place, tokenizer = _tokenizer(config, model)
        strings = named_format(config.format) if config.format else thinking_format(place)
        makers = read_settings(place)
        core = CompletionsCore(
            client,
            model.name,
            tokenizer=tokenizer,
            max_model_len=room,
            recommended=recommended(makers),
        )
        format_ = bind(strings, tokenizer, ends_of_turn(makers))
        await core.try_out()
    except BaseException:
        await client.close()
        raise
    values = core.recommended
    options = ChainOptions(
        model=model.name,
        temperature=float(values.values["temperature"]),
        sampling=str(values),
        driver="reprompt",
        replica=client.url,
    )
    return CompletionsEngine(core, format_, options)


def _tokenizer(config: CompletionsConfig, model: ServedModel) -> tuple[str, Any]:
    """The model's tokenizer, and the folder or name on the hub that it is from."""
    for name in (config.tokenizer,) if config.tokenizer else (model.root, model.name):
        is_path = name.startswith(("/", ".", "~"))
        if not name or (is_path and not Path(name).expanduser().is_dir()):
            continue
        place = locate(name)
        if (found := load_tokenizer(place)) is not None:
            return place, found
    wanted = config.tokenizer or model.root or model.name
    raise ValueError(f"no tokenizer of {wanted!r} can be read here; tokenizer names one")
