"""A random model that wanders: greedy decoding never settles, and meets a stop now and then."""

from pathlib import Path

from workers.models import POCKET_FOLDER


def save_random_model(folder: Path, vocab_size: int, eos_token_id: int | None = None) -> None:
    """Write a model of the embedded model's shape with random weights, without a tokenizer.

    `eos_token_id` is that of the embedded model unless given.
    """
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config.from_pretrained(POCKET_FOLDER)
    config.vocab_size, config.tie_word_embeddings = vocab_size, False
    if eos_token_id is not None:
        config.eos_token_id = eos_token_id
    torch.manual_seed(1)
    model = Qwen2ForCausalLM(config).float()
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.dim() == 2:
                weights.normal_(0, 1.0 if "embed" in name else 0.12)
    model.save_pretrained(folder)
