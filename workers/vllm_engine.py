"""Chains out of a real vLLM engine, forced by re-prompting. The only file that imports vllm.

Every round of a chain is one request whose prompt is all the tokens so far (ids, never text);
prefix caching makes the repeated part cheap. Needs nothing of vLLM but generation itself.
"""

import asyncio
import itertools
import os
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from tokenizers.decoders import DecodeStream
from vllm import SamplingParams
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.inputs import tokens_input
from vllm.platforms import current_platform
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError

from workers.answer import extract
from workers.engine import EngineInfo, Event, Load, Refused, SampleRequest
from workers.forcing import Call, Chain, Finish, Segment
from workers.format import bind, named_format
from workers.models import default_format, locate
from workers.prompt import Prompter
from workers.sample import Accepted, Delta, Sample, lost

# Tokens of a streamed chain are sent together this often: a message costs more than a token.
COALESCE_SECONDS = 0.03


@dataclass(frozen=True, slots=True)
class VllmOptions:
    """What to load and how. `kv_cache_gib=None` is 1 on CPU, and all that is free on a GPU."""

    model: str
    format: str | None = None
    max_model_len: int | None = None
    max_num_seqs: int = 64
    tensor_parallel_size: int = 1
    kv_cache_gib: float | None = None
    replica: str = ""


class VllmEngine:
    """One vLLM engine in this process (its core runs in a child)."""

    def __init__(self, options: VllmOptions) -> None:
        path = locate(options.model)
        format_ = named_format(options.format or default_format(options.model))
        on_cpu = current_platform.is_cpu()
        # Left alone on CPU, vLLM claims most of the node's memory for its cache.
        cache = options.kv_cache_gib or (1.0 if on_cpu else None)
        arguments = AsyncEngineArgs(
            model=path,
            max_model_len=options.max_model_len,
            max_num_seqs=options.max_num_seqs,
            tensor_parallel_size=options.tensor_parallel_size,
            dtype="float32" if on_cpu else "auto",
            kv_cache_memory_bytes=int(cache * 2**30) if cache else None,
            enforce_eager=on_cpu,
            enable_prefix_caching=True,
            scheduling_policy="priority",
            disable_log_stats=True,
        )
        self._llm = AsyncLLM.from_engine_args(arguments)
        model_config = self._llm.model_config
        # vLLM names its tokenizer by a protocol that lacks templates and added tokens, hence Any.
        self._tokenizer: Any = self._llm.get_tokenizer()
        generation = model_config.try_get_generation_config()
        ends = generation.get("eos_token_id") or ()
        self._format = format_
        self._tokens = bind(
            format_, self._tokenizer, (ends,) if isinstance(ends, int) else tuple(ends)
        )
        self._prompter = Prompter(self._tokenizer, format_)
        self._recommended = {
            "temperature": 1.0,
            **model_config.get_diff_sampling_param(),
        }
        self._options = options
        self._max_model_len: int = model_config.max_model_len
        self._numbers = itertools.count()
        self._running = 0
        self._calls: dict[str, set[str]] = {}
        self._cancelled: set[str] = set()

    async def info(self) -> EngineInfo:
        return EngineInfo(
            self._options.model,
            self._format.name,
            self._max_model_len,
            float(self._recommended["temperature"]),
            self._options.max_num_seqs,
        )

    async def load(self) -> Load:
        slots = self._options.max_num_seqs
        waiting = max(0, self._running - slots)
        return Load(self._running - waiting, waiting, self._running / slots)

    async def cancel(self, query: str) -> None:
        if calls := self._calls.get(query):
            self._cancelled.add(query)
            await self._llm.abort(list(calls))

    async def check(self) -> None:
        await self._llm.check_health()

    async def close(self) -> None:
        self._llm.shutdown()
        # It shuts down once more when it is collected, and must not do so at interpreter exit.
        del self._llm

    async def sample(self, request: SampleRequest) -> AsyncGenerator[Event]:
        prompt = self._prompter.tokens(request.messages)
        extension = self._extension(request.forcing.extension_text)
        room = self._room(len(prompt), request.forcing.answer_tokens)
        yield Accepted(len(prompt))
        self._calls[request.query] = set()
        events: asyncio.Queue[Delta | Sample] = asyncio.Queue()
        async with asyncio.TaskGroup() as group:
            tasks = []
            for number in request.chains:
                chain = self._chain(request, extension, room)
                run = self._run(chain, number, prompt, request, events)
                tasks.append(group.create_task(run))
            unfinished = len(tasks)
            try:
                while unfinished:
                    event = await events.get()
                    unfinished -= isinstance(event, Sample)
                    yield event
            except GeneratorExit:
                return  # the caller has closed us: a TaskGroup would make an error of it
            finally:
                for task in tasks:
                    task.cancel()
                self._calls.pop(request.query, None)
                self._cancelled.discard(request.query)

    def _extension(self, text: str | None) -> tuple[int, ...]:
        if text is None:
            return self._tokens.extension
        ids = tuple(self._tokenizer.encode(text, add_special_tokens=False))
        if not ids:
            raise Refused("extension_text", f"extension_text {text!r} has no tokens")
        return ids

    def _room(self, prompt_tokens: int, answer_tokens: int) -> int:
        """Thinking tokens that fit between the prompt and the answer's reserve."""
        closing = len(self._tokens.newline) + len(self._tokens.end_on_cut)
        room = self._max_model_len - prompt_tokens - closing - answer_tokens
        if room < 0:
            raise Refused(
                "messages",
                f"the prompt is {prompt_tokens} tokens long; with the answer's reserve of "
                f"{answer_tokens} tokens it does not fit into the context of "
                f"{self._max_model_len} tokens",
                "context_length_exceeded",
            )
        return room

    def _chain(self, request: SampleRequest, extension: tuple[int, ...], room: int) -> Chain:
        if request.resume is None:
            return Chain.begin(self._tokens, request.forcing, room=room, extension=extension)
        return Chain.resume(
            self._tokens,
            request.forcing,
            room=room,
            thinking=request.resume.thinking_ids,
            stop_cause=request.resume.stop_cause,
            extensions=request.resume.extensions,
            extension=extension,
        )

    async def _run(
        self,
        chain: Chain,
        number: int,
        prompt: list[int],
        request: SampleRequest,
        events: "asyncio.Queue[Delta | Sample]",
    ) -> None:
        began = time.monotonic()
        before = len(chain.thinking) - (chain.forced_tokens - len(chain.closing))
        live = _Live(self._tokenizer, number, events) if request.stream == number else None
        if live:
            known = len(request.resume.thinking_ids) if request.resume else 0
            live.show([Segment("thinking", tuple(chain.thinking[known:]))])
            live.show([Segment("answer", self._forced_answer(chain))])
        self._running += 1
        try:
            while (call := chain.next_call()) is not None:
                if request.query in self._cancelled:
                    chain.abandon("cancelled")
                    break
                parameters = self._parameters(request, call, live is not None)
                await self._generate(chain, [*prompt, *chain.tokens], parameters, request, live)
        except EngineDeadError:
            events.put_nowait(lost(number))
            return
        finally:
            self._running -= 1
            if live:
                live.flush()
        events.put_nowait(self._sample(chain, number, before, time.monotonic() - began))

    async def _generate(
        self,
        chain: Chain,
        tokens: list[int],
        parameters: SamplingParams,
        request: SampleRequest,
        live: "_Live | None",
    ) -> None:
        """One vLLM request: feeds what it generates to the chain."""
        name = f"{request.query}/{next(self._numbers)}"
        calls = self._calls.setdefault(request.query, set())
        calls.add(name)
        try:
            async for output in self._llm.generate(tokens_input(tokens), parameters, name):
                piece = output.outputs[0]
                finish: Finish | None = piece.finish_reason
                segments = chain.feed(list(piece.token_ids), finish)
                if live:
                    live.show(segments)
                if finish == "abort":
                    chain.abandon("cancelled")
        finally:
            calls.discard(name)

    def _parameters(self, request: SampleRequest, call: Call, live: bool) -> SamplingParams:
        return SamplingParams(
            **{**self._recommended, **self._temperature(request)},
            max_tokens=call.max_tokens,
            min_tokens=call.min_tokens,
            stop_token_ids=list(call.stops),
            detokenize=False,
            output_kind=RequestOutputKind.DELTA if live else RequestOutputKind.FINAL_ONLY,
        )

    def _temperature(self, request: SampleRequest) -> dict[str, float | int]:
        if request.temperature is None:
            return {}
        if request.temperature == 0:
            # Greedy: the recommended truncations would only warn.
            return {"temperature": 0.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0}
        return {"temperature": request.temperature}

    def _forced_answer(self, chain: Chain) -> tuple[int, ...]:
        cut = chain.stop_cause in ("max_thinking", "context")
        return self._tokens.end_on_cut[len(self._tokens.end) :] if cut else ()

    def _sample(self, chain: Chain, number: int, before: int, seconds: float) -> Sample:
        text = self._decode([*self._forced_answer(chain), *chain.answer]).strip()
        forced_thinking = chain.forced_tokens - len(chain.closing)
        reasoning = len(chain.thinking) - forced_thinking - before
        return Sample(
            chain=number,
            thinking=self._decode(chain.thinking),
            text=text,
            answer=extract(text),
            stop_cause=chain.stop_cause or "natural",
            thinking_tokens=len(chain.thinking),
            answer_tokens=len(chain.answer),
            extensions=chain.extensions_used,
            generated_tokens=reasoning + len(chain.answer) + chain.discarded_tokens,
            forced_tokens=chain.forced_tokens,
            discarded_tokens=chain.discarded_tokens,
            complete=chain.reached_end_of_turn,
            thinking_ids=tuple(chain.thinking),
            seconds=seconds,
            replica=self._options.replica or str(os.getpid()),
            violations=chain.violations(),
        )

    def _decode(self, tokens: list[int]) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=False)
        return text


class _Live:
    """The text of a streamed chain, in whole characters and coalesced."""

    def __init__(
        self, tokenizer: Any, number: int, events: "asyncio.Queue[Delta | Sample]"
    ) -> None:
        self._backend = tokenizer.backend_tokenizer
        self._number, self._events = number, events
        self._streams: dict[str, DecodeStream] = {}
        self._held: list[Delta] = []
        self._sent = 0.0

    def show(self, segments: list[Segment]) -> None:
        for segment in segments:
            if segment.phase == "done" or not segment.tokens:
                continue
            stream = self._streams.setdefault(
                segment.phase, DecodeStream(skip_special_tokens=False)
            )
            pieces = [stream.step(self._backend, token) or "" for token in segment.tokens]
            text, count = "".join(pieces), len(segment.tokens)
            self._held.append(Delta(self._number, segment.phase, text, count))
        if time.monotonic() - self._sent >= COALESCE_SECONDS:
            self.flush()

    def flush(self) -> None:
        for phase, group in itertools.groupby(self._held, key=lambda delta: delta.phase):
            deltas = list(group)
            text = "".join(delta.text for delta in deltas)
            tokens = sum(delta.tokens for delta in deltas)
            self._events.put_nowait(Delta(self._number, phase, text, tokens))
        self._held.clear()
        self._sent = time.monotonic()
