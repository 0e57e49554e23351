"""Sizes from config.json against models that transformers builds, and the memory they save."""

from typing import Any

import pytest

from training.plan.architecture import architecture_of, read_architecture
from training.plan.memory import layer_activations
from workers.models import POCKET_FOLDER

SMALL = {
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 176,
    "vocab_size": 500,
}
QWEN_32B = {
    "model_type": "qwen2",
    "hidden_size": 5120,
    "num_hidden_layers": 64,
    "num_attention_heads": 40,
    "num_key_value_heads": 8,
    "intermediate_size": 27648,
    "vocab_size": 152064,
    "tie_word_embeddings": False,
}
CONFIGS: list[dict[str, Any]] = [
    {"model_type": "qwen2", **SMALL},
    {"model_type": "qwen2", **SMALL, "tie_word_embeddings": True},
    {"model_type": "qwen3", **SMALL, "attention_bias": True, "head_dim": 32},
    {"model_type": "llama", **SMALL, "attention_bias": True, "mlp_bias": True},
    {"model_type": "mistral", **SMALL, "num_key_value_heads": 4},
    QWEN_32B,
]


def built(config: dict[str, Any], device: str, **options: Any) -> Any:
    import torch
    import transformers

    fields = {name: value for name, value in config.items() if name != "model_type"}
    made = transformers.AutoConfig.for_model(config["model_type"], **fields)
    with torch.device(device):
        return transformers.AutoModelForCausalLM.from_config(made, **options)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: str(config["model_type"]))
def test_parameters_are_those_of_the_built_model(config: dict[str, Any]) -> None:
    model = built(config, "meta")
    assert architecture_of(model.config.to_dict()).parameters == sum(
        each.numel() for each in model.parameters()
    )


def test_the_embedded_model_and_that_of_the_paper() -> None:
    pocket = read_architecture(str(POCKET_FOLDER))
    assert (pocket.layers, pocket.vocabulary, pocket.tied) == (4, 270, True)
    assert architecture_of(QWEN_32B).parameters == 32_763_876_352


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "mixtral", **SMALL}, "model_type 'mixtral' is none of qwen2"),
        ({"model_type": "llama", **SMALL, "vocab_size": None}, "vocab_size of config.json is None"),
    ],
)
def test_an_architecture_that_cannot_be_counted_is_refused(
    config: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        architecture_of(config)


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
@pytest.mark.parametrize("kind", ["qwen2", "qwen3", "llama", "mistral"])
def test_a_layer_saves_what_pytorch_saves(kind: str, precision: str) -> None:
    import torch

    tokens, saved = 64, {}
    dtype = getattr(torch, precision)
    for layers in (2, 4):
        config = {"model_type": kind, **SMALL, "num_hidden_layers": layers}
        model = built(config, "cpu", dtype=dtype, attn_implementation="sdpa")
        saved[layers] = saved_bytes(model, torch.randint(500, (1, tokens)))
        counted = layer_activations(architecture_of(model.config.to_dict()), dtype.itemsize)
    assert (saved[4] - saved[2]) / 2 / tokens == counted


def saved_bytes(model: Any, ids: Any) -> int:
    """Bytes that the backward pass of one forward pass holds, parameters not counted."""
    import torch

    own = {each.untyped_storage().data_ptr() for each in model.parameters()}
    seen: dict[int, int] = {}
    held = []  # or a later tensor would take the place of an earlier one

    def pack(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
        held.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(input_ids=ids, labels=ids)
    return sum(seen.values())
