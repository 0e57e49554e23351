"""The network of a small verifier: a language model's trunk, and a number at the end of a step."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

LEAST = -8.0
"""Log-probabilities below this count as this."""


class StepScorer(nn.Module):
    """`trunk` is a causal transformer of Hugging Face without its head, its embedding tied.

    `head` reads the trunk at the end of a step and weighs three things: a constant, how likely the
    model itself held the step's last token to be, and how likely those of all steps so far.
    """

    def __init__(self, config: Any) -> None:
        from transformers import AutoModel

        super().__init__()
        self.trunk: Any = AutoModel.from_config(config, dtype=torch.float32)
        self.head = nn.Linear(config.hidden_size, 3)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, tokens: Tensor, ends: Tensor) -> Tensor:
        """Log-odds at every token, shape (rows, tokens), of token ids of the same shape.

        `ends` is true at the tokens that end steps; the log-odds of others mean nothing. Rows are
        padded at their right, where causal attention does not look.
        """
        hidden = self.trunk(input_ids=tokens, use_cache=False).last_hidden_state
        own = self._own(hidden[:, :-1], tokens[:, 1:]) * ends
        weights: Tensor = self.head(hidden)
        constant, last, all_ = weights.unbind(-1)
        return constant + last * own + all_ * own.cumsum(1)

    def _own(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        """The model's own log-probability of each token, 0 for the first one of a row."""
        embedding: nn.Embedding = self.trunk.get_input_embeddings()
        chances = (hidden @ embedding.weight.T).log_softmax(-1)
        found = chances.gather(-1, tokens.unsqueeze(-1)).squeeze(-1).clamp(min=LEAST)
        return nn.functional.pad(found, (1, 0))


def padded(rows: Sequence[tuple[list[int], list[int]]]) -> tuple[Tensor, Tensor]:
    """Token ids and the places where steps end as the two tensors that StepScorer takes."""
    width = max(len(tokens) for tokens, _ in rows)
    batch = torch.zeros(len(rows), width, dtype=torch.long)
    ends = torch.zeros(len(rows), width, dtype=torch.bool)
    for row, (tokens, places) in enumerate(rows):
        batch[row, : len(tokens)] = torch.tensor(tokens)
        ends[row, places] = True
    return batch, ends
