"""Writes a trained model as vLLM and `thinkbudget serve --model FOLDER` read it."""

import shutil
from pathlib import Path
from typing import Any

import torch

from training.sft.settings import FineTuning
from workers.models import write_thinking_format


def write_model(
    folder: Path, model: Any, weights: dict[str, torch.Tensor], tokenizer: Any, settings: FineTuning
) -> None:
    """Replace `folder` by the model: safetensors in the precision of the training, its tokenizer
    and its thinking format. `weights` are all parameters by name, on this process alone.
    """
    partial = folder.parent / f".{folder.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    dtype = torch.bfloat16 if settings.training.precision == "bf16" else torch.float32
    # A copy of a tied weight is left out: the file holds it once, as `model` does.
    cast = {
        name: value.to(dtype) if value.is_floating_point() else value
        for name, value in weights.items()
        if name not in model.all_tied_weights_keys
    }
    model.config.dtype = dtype
    model.save_pretrained(partial, state_dict=cast)
    tokenizer.save_pretrained(partial)
    write_thinking_format(partial, settings.model.thinking_format)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
