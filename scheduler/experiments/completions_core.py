"""A core behind any server with OpenAI's text completions: every call is one request.

vLLM's server takes and returns token ids, so that chains come out as on an engine in this process.
What a server says that only knows text is encoded anew by the tokenizer here.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard

from scheduler.client.http_client import Client
from scheduler.errors import InvalidRequest, RequestError
from workers.drivers.core import GenerateOptions, OutputDelta, StreamingSession, TokenLogprobs
from workers.forcing.chain import GenerateCall
from workers.recommended import NEUTRAL, Recommended, drawing

PATH = "/v1/completions"
# How servers refuse fields that they do not know.
REFUSED = (400, 422)
# What `Signals` asks for, and the most that vLLM's server gives by default.
TOP_LOGPROBS = 20
# Stop texts that every server takes.
MOST_STOPS = 4
ID = "token_id:"
# A log-probability; above 0 by rounding alone.
MOST = 1e-3
ONE_TOKEN = GenerateCall(1, 0, frozenset())


class ServerSays(NamedTuple):
    """What a server says of its tokens. `extended`: it takes vLLM's fields, or ignores them."""

    ids: bool = False
    logprobs: bool = False
    extended: bool = False

    @property
    def lacks(self) -> str:
        """What a recording will lack, in words; empty: nothing."""
        if self.logprobs:
            return ""
        unsure = "confidences are not recorded, and trial answers have probability 0"
        if self.ids:
            return f"it gives no log-probabilities: {unsure}"
        return f"it gives no token ids: lengths are counted here, {unsure}"


class CompletionsCore:
    """`says` is known after `try_out`."""

    seeds = False
    # Only the server knows its own.
    vocabulary = 1 << 31

    def __init__(
        self,
        client: Client,
        model: str,
        *,
        tokenizer: Any,
        max_model_len: int,
        recommended: Recommended,
    ) -> None:
        self.tokenizer, self.max_model_len = tokenizer, max_model_len
        self.recommended, self.says = recommended, ServerSays()
        self._client, self._model = client, model
        self._calls: dict[str, asyncio.Task[dict[str, Any]]] = {}

    async def try_out(self) -> None:
        """Find out what the server says, by a token or three. Raises RequestError."""
        prompt = self.tokenizer.encode("1", add_special_tokens=False)
        for top in (TOP_LOGPROBS, None):
            try:
                choice = await self._choice(self._ids_body(prompt, ONE_TOKEN, NEUTRAL, top))
            except RequestError as error:
                if error.status not in REFUSED or error.field == "model":
                    raise
                continue
            ids = choice.get("token_ids")
            if _are_ids(ids, self.vocabulary) and len(ids) == 1:
                self.says = ServerSays(True, bool(top and _logprobs(choice, 1, top)), True)
                return
            self.says = ServerSays(extended=True)
        await self._choice(self._text_body(prompt, ONE_TOKEN, NEUTRAL))

    async def generate(
        self, name: str, tokens: Sequence[int], call: GenerateCall, options: GenerateOptions
    ) -> AsyncGenerator[OutputDelta]:
        top = options.params.logprobs
        if top and not self.says.logprobs:
            message = f"{self._client.url} gives no log-probabilities, so no confidence"
            raise InvalidRequest(message, field="signals", code="unsupported_parameter")
        top = top if self.says.logprobs else None
        values = self.recommended.values if options.recommended else NEUTRAL
        drawn = drawing(values, options.params)
        if self.says.ids:
            body = self._ids_body(tokens, call, drawn, top)
            body["ignore_eos"] = options.ignore_end_of_turn
        else:
            body = self._text_body(tokens, call, drawn)
        self._calls[name] = task = asyncio.create_task(self._choice(body))
        try:
            await asyncio.wait([task])
            if task.cancelled():
                yield OutputDelta((), "abort")
            else:
                yield self._delta(task.result(), call, top)
        finally:
            task.cancel()
            del self._calls[name]

    def open_session(self, name: str, options: GenerateOptions) -> StreamingSession:
        raise NotImplementedError("a server forgets a request that has ended; use `reprompt`")

    def check_schema(self, schema: str) -> None:
        raise ValueError(f"completions of {self._client.url} are free text")

    async def abort(self, names: Sequence[str]) -> None:
        """End the requests: the server learns that nobody waits for them."""
        for name in names:
            if name in self._calls:
                self._calls[name].cancel()

    async def check(self) -> None:
        """Whether the server is there is seen by the next request."""

    async def close(self) -> None:
        await self._client.close()

    def _ids_body(
        self,
        tokens: Sequence[int],
        call: GenerateCall,
        drawn: Mapping[str, float | int],
        top: int | None,
    ) -> dict[str, Any]:
        """With vLLM's fields. The stop that ends a call is among the ids that it returns."""
        scores = {} if top is None else {"logprobs": top, "return_tokens_as_token_ids": True}
        return {
            "model": self._model,
            "prompt": list(tokens),
            "max_tokens": call.max_tokens,
            "min_tokens": 0 if call.stop_texts else call.min_tokens,
            "stop_token_ids": sorted(call.stops),
            "stop": list(call.stop_texts),
            "skip_special_tokens": False,
            "spaces_between_special_tokens": False,
            "return_token_ids": True,
            **scores,
            **drawn,
        }

    def _text_body(
        self, tokens: Sequence[int], call: GenerateCall, drawn: Mapping[str, float | int]
    ) -> dict[str, Any]:
        """With OpenAI's fields alone, unless the server takes more. It takes the stop off its text.

        Where it leaves special tokens out of its text, it cannot stop at them.
        """
        end = self.tokenizer.eos_token_id
        ordered = sorted(call.stops, key=lambda stop: stop == end)  # the server knows this one
        stops = [*call.stop_texts, *(self._text([stop]) for stop in ordered)]
        known: dict[str, Any] = {
            name: drawn[name] for name in ("temperature", "top_p") if name in drawn
        }
        if self.says.extended:
            known |= {"skip_special_tokens": False, "stop_token_ids": ordered, **drawn}
        return {
            "model": self._model,
            "prompt": self._text(tokens),
            "max_tokens": call.max_tokens,
            "stop": stops[:MOST_STOPS],
            **known,
        }

    async def _choice(self, body: dict[str, Any]) -> dict[str, Any]:
        reply = await self._client.post(PATH, body)
        try:
            (choice,) = reply["choices"]
            if not isinstance(choice["text"], str):
                raise TypeError
            _ = choice["finish_reason"]
        except (KeyError, TypeError, ValueError):
            raise self._invalid("is no text completion") from None
        found: dict[str, Any] = choice
        return found

    def _delta(self, choice: dict[str, Any], call: GenerateCall, top: int | None) -> OutputDelta:
        finish = choice["finish_reason"]
        if finish not in ("stop", "length"):
            raise self._invalid(f"ended by {finish!r}")
        if not self.says.ids:
            ids = self.tokenizer.encode(choice["text"], add_special_tokens=False)
            return OutputDelta(tuple(ids[: call.max_tokens]), finish)
        tokens = choice.get("token_ids")
        if not _are_ids(tokens, self.vocabulary):
            raise self._invalid("has no token ids now")
        if len(tokens) > call.max_tokens:
            raise self._invalid(f"has {len(tokens)} tokens, where max_tokens is {call.max_tokens}")
        scores = () if top is None else _logprobs(choice, len(tokens), top)
        if top is not None and len(scores) != len(tokens):
            raise self._invalid("has no log-probabilities now")
        return OutputDelta(tuple(tokens), finish, scores)

    def _text(self, tokens: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(list(tokens), skip_special_tokens=False)
        return text

    def _invalid(self, why: str) -> RequestError:
        return RequestError(f"{self._client.url}: its reply {why}", code="invalid_response")


def _are_ids(tokens: Any, vocabulary: int) -> TypeGuard[list[int]]:
    return isinstance(tokens, list) and all(
        type(token) is int and 0 <= token < vocabulary for token in tokens
    )


def _logprobs(choice: dict[str, Any], count: int, top: int) -> tuple[TokenLogprobs, ...]:
    """Of so many tokens; empty where the server does not give them by id, or what cannot be."""
    scores = []
    try:
        found = choice["logprobs"]
        for number in range(count):
            likeliest = sorted(
                ((value, int(name.removeprefix(ID)))
                 for name, value in found["top_logprobs"][number].items()),
                reverse=True,
            )[:top]  # fmt: skip
            falling, ids = tuple(v for v, _ in likeliest), tuple(i for _, i in likeliest)
            sampled = found["token_logprobs"][number]
            if (top and not falling) or not all(
                -math.inf <= each <= MOST for each in (sampled, *falling)
            ):
                return ()
            scores.append(TokenLogprobs(sampled, falling, ids))
    except (LookupError, TypeError, ValueError, AttributeError):
        return ()
    return tuple(scores)
