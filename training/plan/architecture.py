"""The size of a dense decoder, from the fields of its config.json."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Biases and norms on the heads, by `model_type` of Hugging Face.
BIASED = {"qwen2": True, "qwen3": False, "llama": False, "mistral": False}
NORMED_HEADS = {"qwen3"}


@dataclass(frozen=True, slots=True)
class Architecture:
    """A Llama-like decoder: grouped-query attention, a gated MLP, RMS norms.

    `query` and `key` are the widths of all query heads and of all key heads. `bias` is whether the
    projections of queries, keys and values have one, `output_bias` whether that of the output has.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    tied: bool
    bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    normed_heads: bool = False

    @property
    def query(self) -> int:
        return self.heads * self.head_dim

    @property
    def key(self) -> int:
        return self.kv_heads * self.head_dim

    @property
    def layer_parameters(self) -> int:
        """Parameters of one layer."""
        attention = self.hidden * (2 * self.query + 2 * self.key)
        attention += self.bias * (self.query + 2 * self.key) + self.output_bias * self.hidden
        attention += self.normed_heads * 2 * self.head_dim
        mlp = 3 * self.hidden * self.intermediate
        mlp += self.mlp_bias * (2 * self.intermediate + self.hidden)
        return attention + mlp + 2 * self.hidden

    @property
    def embedding_parameters(self) -> int:
        """Parameters of one matrix of the vocabulary."""
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """All of them; tied embeddings count once."""
        embeddings = self.embedding_parameters * (1 if self.tied else 2)
        return self.layers * self.layer_parameters + embeddings + self.hidden

    @property
    def multiplied_parameters(self) -> int:
        """Those that every token is multiplied with: all but the lookup of embeddings."""
        return self.layers * self.layer_parameters + self.embedding_parameters + self.hidden


def architecture_of(config: Mapping[str, Any]) -> Architecture:
    """The architecture that a config.json describes. Raises ValueError for one that is not known.

    A mixture of experts, or a decoder of another make, has other sizes than those counted here.
    """
    kind = config.get("model_type")
    if kind not in BIASED:
        raise ValueError(f"model_type {kind!r} is none of {', '.join(BIASED)}")
    names = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size",
             "vocab_size")  # fmt: skip
    for name in names:
        if not isinstance(config.get(name), int) or config[name] < 1:
            raise ValueError(f"{name} of config.json is {config.get(name)!r}, not a count")
    layers, hidden, heads, intermediate, vocabulary = (config[name] for name in names)
    bias = BIASED[kind] or bool(config.get("attention_bias"))
    return Architecture(
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_dim=config.get("head_dim") or hidden // heads,
        intermediate=intermediate,
        vocabulary=vocabulary,
        tied=bool(config.get("tie_word_embeddings", False)),
        bias=bias,
        output_bias=bool(config.get("attention_bias")) and kind != "qwen2",
        mlp_bias=bool(config.get("mlp_bias")) and kind == "llama",
        normed_heads=kind in NORMED_HEADS,
    )


def read_architecture(model: str, revision: str | None = None) -> Architecture:
    """The architecture of a folder's or a hub name's model. Raises ValueError that names it."""
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(model, revision=revision).to_dict()
    except (OSError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise ValueError(f"model.name {model!r}: its config.json cannot be read: {first}") from None
    try:
        return architecture_of(config)
    except ValueError as error:
        raise ValueError(f"model.name {model!r}: {error}") from None
