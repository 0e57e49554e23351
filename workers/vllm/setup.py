"""What a vLLM engine is started with."""

import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vllm.config import StructuredOutputsConfig
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.platforms import current_platform
from vllm.tokenizers.registry import cached_tokenizer_from_config
from vllm.usage.usage_lib import UsageContext

from workers.recommended import FILE, ends_of_turn, read_settings, recommended
from workers.vllm.arguments import parsed


@dataclass(frozen=True, slots=True)
class VllmOptions:
    """What to load and how. `kv_cache_gib=None` is 1 on CPU, and all that is free on a GPU.

    `watchdog_seconds`: a core that has work and says nothing for so long counts as hung. The time
    to read long prompts comes on top (workers/vllm/watchdog.py).
    """

    model: str
    max_model_len: int | None = None
    max_num_seqs: int = 64
    tensor_parallel_size: int = 1
    kv_cache_gib: float | None = None
    watchdog_seconds: float = 30.0
    #: Further engine arguments of vLLM's own, by name.
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def check(self, *, whole: bool) -> None:
        """Raise ValueError for arguments that no engine could start with.

        The `whole` configuration can be checked only where there is the hardware of the engine.
        """
        if whole:
            _engine_arguments(self).create_engine_config(UsageContext.ENGINE_CONTEXT)
        else:
            parsed(self.arguments)


class Setup:
    """What can be known of an engine before it is started, which takes half a minute."""

    def __init__(self, options: VllmOptions) -> None:
        on_cpu = current_platform.is_cpu()
        self.options = options
        self.on_cpu = on_cpu
        self.config: Any = _engine_arguments(options).create_engine_config(
            UsageContext.ENGINE_CONTEXT
        )
        if (
            on_cpu
            and options.tensor_parallel_size == 1
            and self.config.parallel_config.pipeline_parallel_size == 1
            and "distributed_executor_backend" not in parsed(options.arguments)
            and "VLLM_CPU_OMP_THREADS_BIND" not in os.environ
        ):
            self._run_in_core()
        # vLLM names its tokenizer by a protocol that lacks templates and added tokens, hence Any.
        self.tokenizer: Any = cached_tokenizer_from_config(self.config.model_config)
        model = self.config.model_config
        is_followed = model.generation_config != "vllm"
        makers = self._makers_settings()
        self.end_of_turn = ends_of_turn(makers)
        file = makers if is_followed else {}
        self.recommended = recommended({**file, **model.override_generation_config})

    def _makers_settings(self) -> Mapping[str, Any]:
        """What the model's makers recommend; vLLM reads a file that it cannot use no more.

        vLLM would not start for such a file, or would fail every request.
        """
        model = self.config.model_config
        try:
            found = model.try_get_generation_config()
        except Exception:  # whatever the file holds
            found = None
        ends = found.get("eos_token_id") if isinstance(found, dict) else None
        if isinstance(found, dict) and (ends is None or ends_of_turn(found) == _listed(ends)):
            return found
        read = {"auto", "vllm"}
        place = model.model if model.generation_config in read else model.generation_config
        makers = read_settings(place, model.revision)
        makers = makers if isinstance(makers, dict) else {}
        folder = tempfile.mkdtemp(prefix="thinkbudget-")
        # The core reads it too: it stays as long as whoever holds this.
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        clean = {"eos_token_id": list(ends_of_turn(makers))} if ends_of_turn(makers) else {}
        Path(folder, FILE).write_text(json.dumps(clean), encoding="utf-8")
        model.generation_config = folder
        return makers

    def _run_in_core(self) -> None:
        """Have the core's own process run the model on all cores but one, as on a GPU it would.

        On CPU vLLM takes a process of its own for that, with its threads bound to cores; the two
        then wait for each other by spinning, on the cores that the servers need.
        """
        self.config.parallel_config.distributed_executor_backend = "uni"
        # Read by the core when it starts; what Ray puts there is of its own reckoning.
        os.environ["OMP_NUM_THREADS"] = str(max(1, len(os.sched_getaffinity(0)) - 1))


def _listed(ends: Any) -> tuple[Any, ...]:
    return tuple(ends) if isinstance(ends, list | tuple) else (ends,)


def _engine_arguments(options: VllmOptions) -> AsyncEngineArgs:
    """What this project promises needs, what the user sets, and else what suits the hardware."""
    on_cpu = current_platform.is_cpu()
    given = parsed(options.arguments)
    cache = options.kv_cache_gib
    if cache is None and on_cpu and "gpu_memory_utilization" not in given:
        cache = 1.0  # left alone on CPU, vLLM claims most of the node's memory
    usual = {
        "dtype": "float32" if on_cpu else "auto",
        "enforce_eager": on_cpu,
        "enable_prefix_caching": True,
        # Weights of other kinds are pickles, and so code.
        "load_format": "safetensors",
    }
    return AsyncEngineArgs(
        model=options.model,
        max_model_len=options.max_model_len,
        max_num_seqs=options.max_num_seqs,
        tensor_parallel_size=options.tensor_parallel_size,
        kv_cache_memory_bytes=int(cache * 2**30) if cache else None,
        scheduling_policy="priority",
        # Between the parts of JSON a model may say spaces for ever. What this backend cannot
        # hold to is refused; "auto" would try others, with other bounds.
        structured_outputs_config=StructuredOutputsConfig(
            backend="xgrammar", disable_any_whitespace=True
        ),
        trust_remote_code=False,
        **(usual | given),
    )
