"""DeepSpeed's configuration out of ours: the batch, the clipping and the optimizer are the
Trainer's, so that one place decides them.
"""

from collections.abc import Mapping
from typing import Any

from training.sft.settings import FineTuning

# What a table [parallel.deepspeed] must not set, and the setting that does.
_OURS = {
    "train_batch_size": "training.batch_size",
    "train_micro_batch_size_per_gpu": "training.micro_batch_size",
    "gradient_accumulation_steps": "training.batch_size",
    "gradient_clipping": "training.max_grad_norm",
    "optimizer": "training.learning_rate, weight_decay, beta1 and beta2",
    "scheduler": "training.warmup",
    "bf16.enabled": "training.precision",
    "fp16.enabled": "training.precision",
    "zero_optimization.stage": "parallel.zero_stage",
    "zero_optimization.offload_optimizer": "parallel.offload",
}

BUCKET_ELEMENTS = 50_000_000
"""Gradients that are summed at once: 100 MB of memory in bf16."""


def deepspeed_config(settings: FineTuning, *, universal: bool = False) -> dict[str, Any]:
    """The table for `deepspeed.initialize`; `universal` loads a checkpoint of any world size.

    Raises ValueError for a table of the user's own that contradicts other settings.
    """
    own = settings.parallel.deepspeed
    refuse_contradictions(own)
    stage = settings.parallel.zero_stage
    zero: dict[str, Any] = {
        "stage": stage,
        # Sums overlap with the backward pass on GPUs only; on CPUs there is nothing to overlap.
        "overlap_comm": settings.parallel.gpu,
        "contiguous_gradients": True,
        "reduce_bucket_size": BUCKET_ELEMENTS,
    }
    if stage == 3:
        zero |= {
            "stage3_prefetch_bucket_size": "auto",
            "stage3_param_persistence_threshold": "auto",
            "stage3_gather_16bit_weights_on_model_save": True,
        }
    if settings.parallel.offload:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
    config: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "bf16": {"enabled": settings.training.precision == "bf16"},
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 1 << 30,
    }
    if universal:
        config["checkpoint"] = {"load_universal": True}
    return merged(config, own)


def refuse_contradictions(own: Mapping[str, Any]) -> None:
    """Raise ValueError that names the first key that another setting decides, and that setting."""
    for key, setting in _OURS.items():
        value: Any = own
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None:
            raise ValueError(
                f"parallel.deepspeed.{key} {value!r} is not taken: {setting} decides it"
            )


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Two nested tables as one; where both have a value, that of `over`."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        result[key] = merged(below, value) if both and below is not None else value
    return result
