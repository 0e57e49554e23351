"""A real vLLM engine as a core."""

import asyncio
import contextlib
import re
import zlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any

from vllm import SamplingParams as VllmSamplingParams
from vllm.engine.protocol import StreamingInput
from vllm.exceptions import VLLMClientError
from vllm.inputs import tokens_input
from vllm.logger import DEFAULT_LOGGING_CONFIG
from vllm.lora.request import LoRARequest
from vllm.outputs import RequestOutput
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError

from workers.drivers.core import (
    CoreDied,
    GenerateOptions,
    OutputDelta,
    StreamingSession,
    TokenLogprobs,
)
from workers.forcing.chain import Finish, GenerateCall
from workers.recommended import NEUTRAL, drawing
from workers.vllm.parent_death import end_cores_with_their_parent
from workers.vllm.root_cause import root_cause_kept
from workers.vllm.setup import Setup
from workers.vllm.watchdog import Watchdog

# Tokens of a chain that nobody watches come so many at a time.
HELD_TOKENS = 16
# Where many chains are watched, each hears of several tokens at a time: every delta costs the same.
LIVE_CROWD, MOST_LIVE_TOKENS = 16, 8
# Prompts are assumed to be read so slowly until that is measured.
CPU_SECONDS_PER_TOKEN, GPU_SECONDS_PER_TOKEN = 0.05, 0.001


class VllmCore:
    """One vLLM engine in this process (its core runs in a child)."""

    def __init__(self, setup: Setup, *, stat_loggers: list[Any] | None = None) -> None:
        self._llm = _start(setup.config, stat_loggers)
        model_config = setup.config.model_config
        self.tokenizer = setup.tokenizer
        self.max_model_len: int = model_config.max_model_len
        # Of the embedding; may be more than the tokenizer knows.
        self.vocabulary: int = model_config.get_vocab_size()
        self.recommended = setup.recommended
        self._setup = setup  # its files are those of the engine
        self.watchdog = Watchdog(
            setup.options.watchdog_seconds,
            seconds_per_token=CPU_SECONDS_PER_TOKEN if setup.on_cpu else GPU_SECONDS_PER_TOKEN,
            step_tokens=setup.config.scheduler_config.max_num_batched_tokens,
        )
        # With chunked prefill one seeded request kills a CPU engine.
        self.seeds = not setup.on_cpu
        self._config = setup.config

    async def generate(
        self, name: str, tokens: Sequence[int], call: GenerateCall, options: GenerateOptions
    ) -> AsyncGenerator[OutputDelta]:
        parameters = self._parameters(call, options)
        outputs = self._generate(name, tokens, parameters, options)
        async for delta in self._deltas(outputs, options, len(tokens)):
            yield delta

    def open_session(self, name: str, options: GenerateOptions) -> StreamingSession:
        return _StreamingSession(self, name, options)

    async def abort(self, names: Sequence[str]) -> None:
        await self._llm.abort(list(names))

    async def check(self) -> None:
        try:
            await self._llm.check_health()
        except EngineDeadError as error:
            raise CoreDied("the engine core has died") from error
        if (silence := self.watchdog.overdue()) is not None:
            raise CoreDied(f"the engine core has said nothing for {silence:.0f} s and has work")

    def check_schema(self, schema: str) -> None:
        model, outputs = self._config.model_config, self._config.structured_outputs_config
        parameters = VllmSamplingParams(structured_outputs=StructuredOutputsParams(json=schema))
        try:
            parameters.verify(model, None, outputs, self.tokenizer)
        except VLLMClientError as error:
            # Without the time and the place in the library's source.
            raise ValueError(re.sub(r"\[[\d:]+\] \S+: ", "", str(error))) from None

    async def close(self) -> None:
        self.shutdown()

    def shutdown(self) -> None:
        self._llm.shutdown()
        # It shuts down once more when it is collected, and must not do so at interpreter exit.
        del self._llm

    def _generate(
        self,
        name: str,
        tokens: Sequence[int],
        parameters: VllmSamplingParams,
        options: GenerateOptions,
    ) -> AsyncGenerator[RequestOutput]:
        outputs: AsyncGenerator[RequestOutput] = self._llm.generate(
            _input(tokens, options),
            parameters,
            name,
            lora_request=_adapter(options),
            priority=options.params.priority,
        )
        return outputs

    async def _deltas(
        self, outputs: AsyncGenerator[RequestOutput], options: GenerateOptions, prompt_tokens: int
    ) -> AsyncGenerator[OutputDelta]:
        """The new tokens of every output; vLLM's way of dying becomes ours."""
        prefill = self.watchdog.begin(prompt_tokens)
        try:
            async for output in outputs:
                self.watchdog.heard(prefill, output.num_cached_tokens or 0)
                made = output.outputs[0]
                if made.finish_reason not in (None, "stop", "length", "abort"):
                    raise CoreDied(f"the engine core gave a request up: {made.finish_reason}")
                finish: Finish | None = made.finish_reason
                yield OutputDelta(
                    tuple(made.token_ids),
                    finish,
                    _logprobs(made, options.params.logprobs or 0),
                    _prompt_logprobs(output, options.prompt_logprobs or 0),
                )
        except EngineDeadError as error:
            raise CoreDied("the engine core has died") from error
        finally:
            self.watchdog.end(prefill)

    def _parameters(self, call: GenerateCall, options: GenerateOptions) -> VllmSamplingParams:
        schema = options.schema
        return VllmSamplingParams(
            **self._drawing(options),
            max_tokens=call.max_tokens,
            min_tokens=0 if call.stop_texts else call.min_tokens,
            stop_token_ids=list(call.stops),
            stop=list(call.stop_texts) or None,
            # Stops that are text are looked for in the text.
            detokenize=bool(call.stop_texts),
            skip_special_tokens=False,
            spaces_between_special_tokens=False,
            logprobs=options.params.logprobs,
            prompt_logprobs=options.prompt_logprobs,
            structured_outputs=None if schema is None else StructuredOutputsParams(json=schema),
            ignore_eos=options.ignore_end_of_turn,
            skip_clone=True,  # these parameters are of this call alone
            **_pace(options),
        )

    def _drawing(self, options: GenerateOptions) -> dict[str, Any]:
        """How tokens are drawn: as the model's makers recommend, where nothing else is asked."""
        made = self.recommended.values if options.recommended else NEUTRAL
        drawn: dict[str, Any] = drawing(made, options.params)
        is_seeded = self.seeds and options.params.temperature != 0
        return drawn | ({"seed": options.params.seed} if is_seeded else {})


def _start(config: Any, stat_loggers: list[Any] | None) -> AsyncLLM:
    end_cores_with_their_parent()
    logs = config.logging_config
    with contextlib.ExitStack() as stack:
        if logs.configure_logging and logs.pylogging_config_file is None:
            file = stack.enter_context(root_cause_kept(DEFAULT_LOGGING_CONFIG, "vllm"))
            config.logging_config = replace(logs, pylogging_config_file=file)
        return AsyncLLM.from_vllm_config(
            config, stat_loggers=stat_loggers, disable_log_stats=stat_loggers is None
        )


class _StreamingSession:
    def __init__(self, core: VllmCore, name: str, options: GenerateOptions) -> None:
        self._core, self._name, self._options = core, name, options
        self._inputs: asyncio.Queue[StreamingInput | None] = asyncio.Queue()
        self._first: VllmSamplingParams | None = None
        self._prompt_tokens = 0

    def append(self, tokens: Sequence[int], call: GenerateCall, *, last: bool) -> None:
        parameters = self._core._parameters(call, self._options)
        if self._first is None:
            self._first, self._prompt_tokens = parameters, len(tokens)
        prompt = _input(tokens, self._options)
        self._inputs.put_nowait(StreamingInput(prompt=prompt, sampling_params=parameters))
        if last:
            self._inputs.put_nowait(None)

    async def deltas(self) -> AsyncGenerator[OutputDelta]:
        assert self._first is not None, "nothing was appended"
        outputs = self._core._llm.generate(
            self._stream(),
            self._first,
            self._name,
            lora_request=_adapter(self._options),
            priority=self._options.params.priority,
        )
        try:
            async for delta in self._core._deltas(outputs, self._options, self._prompt_tokens):
                yield delta
        finally:
            self._inputs.put_nowait(None)

    async def _stream(self) -> AsyncGenerator[StreamingInput]:
        while (chunk := await self._inputs.get()) is not None:
            yield chunk


def _pace(options: GenerateOptions) -> dict[str, Any]:
    """Never only at the end: silence would not tell a long chain from a core that hangs."""
    interval = HELD_TOKENS
    if options.live:
        interval = min(MOST_LIVE_TOKENS, max(1, options.concurrency // LIVE_CROWD))
    return {"output_kind": RequestOutputKind.DELTA, "stream_interval": interval}


def _adapter(options: GenerateOptions) -> LoRARequest | None:
    """vLLM knows adapters by numbers: one of other weights has another."""
    if (adapter := options.params.adapter) is None:
        return None
    number = zlib.crc32(f"{adapter.name}\n{adapter.folder}".encode()) or 1
    return LoRARequest(adapter.name, number, adapter.folder)


def _input(tokens: Sequence[int], options: GenerateOptions) -> Any:
    """A prompt with a list of its own: vLLM lengthens that of a conversation in place."""
    return tokens_input(list(tokens), cache_salt=options.params.cache_salt or None)


def _logprobs(made: Any, top: int) -> tuple[TokenLogprobs, ...]:
    if made.logprobs is None:
        return ()
    # In delta mode these are the new tokens', otherwise all of them: either way the last ones.
    rows = list(made.logprobs)[-len(made.token_ids) :] if made.token_ids else []
    return _ranked(made.token_ids, rows, top)


def _prompt_logprobs(output: RequestOutput, top: int) -> tuple[TokenLogprobs, ...]:
    if not output.prompt_logprobs:
        return ()
    return _ranked(output.prompt_token_ids[1:], output.prompt_logprobs[1:], top)


def _ranked(tokens: Sequence[int], rows: Sequence[Any], top: int) -> tuple[TokenLogprobs, ...]:
    scores = []
    for token, row in zip(tokens, rows, strict=True):
        best = sorted((entry.rank, key) for key, entry in row.items() if entry.rank <= top)
        ids = tuple(key for _, key in best)
        falling = tuple(row[key].logprob for key in ids)
        scores.append(TokenLogprobs(row[token].logprob, falling, ids))
    return tuple(scores)
