"""Budget forcing inside vLLM: a logits processor for its V1 model runner.

Registered by `logits_processors=["workers.vllm.processor:BudgetForcing"]`. A request that is to be
forced carries its `ChainSpec` as JSON in `SamplingParams.extra_args["thinkbudget"]`; others pass.

vLLM samples after us and does not tell what it would draw. So where a stop could be drawn, we draw
the token ourselves from the distribution that vLLM would have drawn it from, and force it.
"""

from dataclasses import dataclass
from typing import Any

import torch
from vllm import SamplingParams
from vllm.config import VllmConfig
from vllm.tokenizers.registry import cached_tokenizer_from_config
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor, process_dict_updates
from vllm.v1.sample.ops.topk_topp_sampler import apply_top_k_top_p, random_sample
from vllm.v1.sample.sampler import Sampler

from workers.chain_spec import ChainSpec
from workers.format import ThinkingFormat, TokenFormat, bind
from workers.in_engine import KEY, Force, Free, InEngine, refusal

QUALIFIED_NAME = "workers.vllm.processor:BudgetForcing"
# vLLM samples greedily below this temperature (vllm.v1.sample.sampler).
GREEDY = 1e-5


def why_not(config: VllmConfig, format_: TokenFormat) -> str | None:
    """Why this engine cannot force chains of this format inside; None if it can."""
    if config.use_v2_model_runner:
        return (
            "vLLM's model runner V2 takes other logits processors than ours, which is for V1; "
            "VLLM_USE_V2_MODEL_RUNNER=0 chooses V1"
        )
    if config.speculative_config is not None:
        return "vLLM takes no logits processors together with speculative decoding"
    if config.kv_transfer_config is not None:
        return "a KV transfer may take tokens back that were counted already"
    if config.model_config.skip_tokenizer_init:
        return "the engine has no tokenizer: skip_tokenizer_init is set"
    return refusal(format_, format_.extension, config.model_config.get_vocab_size())


@dataclass(slots=True)
class _Row:
    """One request: its chain, the tokens that vLLM has kept of it, and how it samples."""

    chain: InEngine
    output: list[int]
    params: SamplingParams
    generator: torch.Generator | None
    committed: int = 0

    @property
    def greedy(self) -> bool:
        return bool(self.params.temperature < GREEDY)

    def catch_up(self) -> None:
        if len(self.output) < self.committed:
            raise RuntimeError(
                f"vLLM took back tokens that it had kept: {self.committed} were, "
                f"{len(self.output)} are left"
            )
        for token in self.output[self.committed :]:
            if token < 0:  # a placeholder of async scheduling for a token not known yet
                break
            self.chain.commit(token)
            self.committed += 1


class BudgetForcing(LogitsProcessor):  # type: ignore[misc]
    @classmethod
    def validate_params(cls, params: SamplingParams) -> None:
        text = (params.extra_args or {}).get(KEY)
        if text is None:
            return
        if not isinstance(text, str):
            raise ValueError(f"extra_args[{KEY!r}] must be a string of JSON, got {text!r}")
        if (compat := ChainSpec.from_json(text).forcing).compat:
            raise ValueError(f"{compat} follows a loop of calls, it cannot be one request")
        # All of these change what is sampled after us, or what we see of it.
        idle = {
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "repetition_penalty": 1.0,
            "thinking_token_budget": None,
            "min_tokens": 0,
            "n": 1,
        }
        for field, value in idle.items():
            if (given := getattr(params, field)) != value:
                raise ValueError(f"{field} must be {value} in a forced request, got {given!r}")

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        self._vocabulary: int = vllm_config.model_config.get_vocab_size()
        self._tokenizer: Any = cached_tokenizer_from_config(vllm_config.model_config)
        self._formats: dict[tuple[ThinkingFormat, tuple[int, ...]], TokenFormat] = {}
        self._device = device
        self._rows: dict[int, _Row] = {}

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        process_dict_updates(self._rows, batch_update, self._row)

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """`logits`: [rows of the batch, vocabulary], changed in place."""
        forced: dict[int, int] = {}
        masked: list[tuple[int, int]] = []
        drawing: dict[int, Free] = {}
        # Tokens are read here and not in `update_state`: async scheduling knows them only now.
        for index, row in self._rows.items():
            row.catch_up()
            match row.chain.wanted():
                case Force(token):
                    forced[index] = token
                case Free() as free:
                    masked += [(index, token) for token in free.masked]
                    if free.intercepted:
                        drawing[index] = free
        if masked:
            logits[self._indices(masked)] = -torch.inf
        for index, token in self._draw(logits, list(drawing)).items():
            row, stopped = self._rows[index], token in drawing[index].intercepted
            if stopped:
                forced[index] = row.chain.stop_drawn(token)
            elif not row.greedy:
                forced[index] = token
        if forced:
            rows, _ = indices = self._indices(list(forced.items()))
            logits[rows] = -torch.inf
            logits[indices] = 0.0
        return logits

    def _row(
        self, params: SamplingParams, prompt: list[int] | None, output: list[int]
    ) -> _Row | None:
        text = (params.extra_args or {}).get(KEY)
        if text is None:
            return None
        # A preempted request comes back without a name, perhaps with a new list, but with the same
        # parameters: its row lives on them, and dies with them.
        row: _Row | None = getattr(params, "_thinkbudget_row", None)
        if row is None:
            spec = ChainSpec.from_json(text)
            chain = InEngine(spec.chain(self._format(spec)), self._vocabulary)
            row = _Row(chain, output, params, self._generator(params.seed))
            params._thinkbudget_row = row
        row.output = output
        return row

    def _format(self, spec: ChainSpec) -> TokenFormat:
        key = spec.format, spec.end_of_turn
        if key not in self._formats:
            self._formats[key] = bind(spec.format, self._tokenizer, spec.end_of_turn)
        return self._formats[key]

    def _generator(self, seed: int | None) -> torch.Generator | None:
        """Not the numbers of vLLM's own generator, which draws from the same seed."""
        if seed is None:
            return None
        return torch.Generator(device=self._device).manual_seed(seed ^ 0x7B1D)

    def _draw(self, logits: torch.Tensor, indices: list[int]) -> dict[int, int]:
        greedy = [index for index in indices if self._rows[index].greedy]
        sampled = [index for index in indices if not self._rows[index].greedy]
        drawn: dict[int, int] = {}
        if greedy:
            best = Sampler.greedy_sample(logits)[greedy].tolist()
            drawn.update(zip(greedy, best, strict=True))
        if sampled:
            drawn.update(zip(sampled, self._sample(logits[sampled], sampled), strict=True))
        return drawn

    def _sample(self, logits: torch.Tensor, indices: list[int]) -> list[int]:
        """One token per row, as vLLM draws it: temperature, min-p, top-k, top-p, then by chance.

        Unseeded rows draw from the device's generator, which is the same on all ranks.
        """
        rows = [self._rows[index] for index in indices]
        params = [row.params for row in rows]
        size = logits.shape[-1]
        logits = logits / self._column([each.temperature for each in params])
        if any(each.min_p for each in params):
            probabilities = logits.softmax(dim=-1)
            least = probabilities.amax(dim=-1, keepdim=True)
            least = least * self._column([each.min_p for each in params])
            logits = logits.masked_fill(probabilities < least, -torch.inf)
        top_k = [each.top_k if 0 < each.top_k < size else size for each in params]
        top_p = [each.top_p for each in params]
        logits = apply_top_k_top_p(
            logits,
            self._tensor(top_k, torch.int32) if min(top_k) < size else None,
            self._tensor(top_p, torch.float32) if min(top_p) < 1 else None,
        )
        generators = {at: row.generator for at, row in enumerate(rows) if row.generator}
        tokens: list[int] = random_sample(logits.softmax(dim=-1), generators).tolist()
        return tokens

    def _tensor(self, values: list[Any], dtype: torch.dtype) -> torch.Tensor:
        return torch.tensor(values, dtype=dtype, device=self._device)

    def _column(self, values: list[float]) -> torch.Tensor:
        return self._tensor(values, torch.float32).unsqueeze(dim=1)

    def _indices(self, pairs: list[tuple[int, int]]) -> tuple[torch.Tensor, torch.Tensor]:
        rows, tokens = zip(*pairs, strict=True)
        return self._tensor(list(rows), torch.int64), self._tensor(list(tokens), torch.int64)
