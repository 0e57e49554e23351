"""Which of vLLM's engine arguments a user may set, and why the others are refused.

Whether the rest is known and well-typed, vLLM's own parser says (workers/vllm/arguments.py).
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

# Those that have a setting of ours.
OWN = {
    "model": "engine.model",
    "max_model_len": "engine.max_model_len",
    "max_num_seqs": "engine.max_num_seqs",
    "tensor_parallel_size": "engine.tensor_parallel_size",
    "kv_cache_memory_bytes": "engine.kv_cache_gib",
}
_CODE = "it would run code from outside vLLM"
_GENERATE = "the engine must generate text"
_REPLICAS = "set `replicas` instead"
_QUEUE = "who waits and who is refused is said by [limits]"
_DRAWN = "nothing but a budget may change which tokens are drawn"
REFUSED = {
    "trust_remote_code": "code that comes with a model is not run",
    "model_class_overrides": _CODE,
    "worker_cls": _CODE,
    "worker_extension_cls": _CODE,
    "scheduler_cls": _CODE,
    "io_processor_plugin": _CODE,
    "reasoning_parser_plugin": _CODE,
    "logits_processors": _DRAWN,
    "watermark_config": _DRAWN,
    "scheduling_policy": "requests carry priorities, so it is always 'priority'",
    "structured_outputs_config": "answers are held to a schema by xgrammar, without white space",
    "skip_tokenizer_init": "budgets are forced by the tokenizer",
    "tokens_only": "budgets are forced by the tokenizer",
    "runner": _GENERATE,
    "convert": _GENERATE,
    "pooler_config": _GENERATE,
    "stream_interval": "every request says how often its tokens are reported",
    "max_num_queued_reqs": _QUEUE,
    "max_num_queued_tokens": _QUEUE,
    "max_logprobs": "requests may ask for 20",
    "logprobs_mode": "confidence needs the model's own log-probabilities",
    "nnodes": _REPLICAS,
    "node_rank": _REPLICAS,
}
# Formats of weights that hold no code.
LOAD_FORMATS = ("safetensors", "fastsafetensors", "runai_streamer")


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Raise ValueError, with the reason, for an argument that would break what is promised."""
    for written, value in arguments.items():
        name = argument_name(written)
        if name in OWN:
            raise ValueError(f"vllm.{written} is refused: set {OWN[name]} instead")
        reason = _REPLICAS if name.startswith("data_parallel_") else REFUSED.get(name)
        if reason is not None:
            raise ValueError(f"vllm.{written} is refused: {reason}")
        if name == "load_format" and value not in LOAD_FORMATS:
            raise ValueError(
                f"vllm.{written} {value!r} is refused: weights of other formats run code when they "
                f"are loaded; it must be one of {', '.join(LOAD_FORMATS)}"
            )


def argument_name(written: str) -> str:
    """The name of an argument, with dashes or underscores."""
    return written.removeprefix("--").replace("-", "_")


def read_pairs(pairs: Iterable[str]) -> dict[str, Any]:
    """Arguments from texts such as "key=value" and "key.inner=value".

    A value that is a JSON object, list, true or false is read as such, and so is any inner JSON.
    """
    arguments: dict[str, Any] = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not (sign and key.strip()):
            raise ValueError(f"--vllm must be of the form key=value, got {pair!r}")
        name, *inner = [part.strip() for part in key.split(".")]
        name = argument_name(name)
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        if not inner:
            arguments[name] = value if isinstance(value, bool | dict | list) else text
            continue
        place = arguments.setdefault(name, {})
        for part in inner[:-1]:
            place = place.setdefault(part, {}) if isinstance(place, dict) else None
        if not isinstance(place, dict):
            raise ValueError(f"--vllm {key} has both a value and values below it")
        place[inner[-1]] = value
    return arguments
