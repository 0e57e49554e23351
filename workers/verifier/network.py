"""The network of a small verifier: a language model's trunk, and one number at every token."""

from typing import Any

import torch
from torch import Tensor, nn


class StepScorer(nn.Module):
    """`trunk` is a causal transformer of Hugging Face without its head; `head` gives log-odds."""

    def __init__(self, config: Any) -> None:
        from transformers import AutoModel

        super().__init__()
        self.trunk: Any = AutoModel.from_config(config)
        self.head = nn.Linear(config.hidden_size, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Log-odds at every token, shape (rows, tokens), of token ids of the same shape.

        Rows are padded at their right, where causal attention does not look.
        """
        hidden = self.trunk(input_ids=tokens, use_cache=False).last_hidden_state
        # Autocast would have the head's few sums in bfloat16.
        with torch.autocast(hidden.device.type, enabled=False):
            odds: Tensor = self.head(hidden.float()).squeeze(-1)
        return odds


def padded(rows: list[list[int]]) -> Tensor:
    """Rows of token ids as one tensor, filled up with 0 at the right."""
    return nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
