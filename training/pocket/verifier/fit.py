"""Trains the verifier: s1-pocket's trunk, and a head that tells how likely each step is right.

The loss is the cross-entropy of the labels of `labels.py`, a step a term. Every third chain is seen
once more up to a true value, and with another digit in its place: the model itself is never wrong
on a single operation, so from its chains alone the verifier would learn which leaps are long, and
not to look at the digits. One process, no more than two threads; the order of the rows follows
from the seed. A run that was stopped goes on from its checkpoint.
"""

import json
import math
import random
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as functional
import transformers
from safetensors.torch import save_file

from scheduler.progress import progress
from training.pocket.problems import read_problem
from training.pocket.verifier.labels import labels
from training.pocket.verifier.samples import Chain
from workers.models import POCKET_FOLDER
from workers.verifier.network import StepScorer, padded
from workers.verifier.pocket import CONFIG, WEIGHTS, StepTokenizer
from workers.verifier.steps import step_ends

CHECKPOINT_SECONDS = 60.0
SPOILED_EVERY = 3
VALUE = re.compile(r"=\d")


@dataclass(frozen=True, slots=True)
class VerifierRecipe:
    """All that decides what a run learns, beside the chains."""

    seed: int = 0
    epochs: int = 1
    batch_tokens: int = 4096
    learning_rate: float = 1e-3
    warmup_steps: int = 50
    weight_decay: float = 0.01
    threads: int = 2

    def learning_rate_at(self, step: int, steps: int) -> float:
        warmup = min(1.0, (step + 1) / self.warmup_steps)
        return self.learning_rate * warmup * 0.5 * (1 + math.cos(math.pi * step / steps))


class StepRow(NamedTuple):
    """Token ids, the indices of the tokens that end steps, and whether it is right after each."""

    tokens: list[int]
    places: list[int]
    right: list[bool]


def with_spoiled(chains: Sequence[Chain], seed: int) -> list[Chain]:
    """The chains, and every third once more with a wrong end."""
    rng = random.Random(f"spoil {seed}")
    spoiled = [spoil(chain, rng) for chain in chains[::SPOILED_EVERY]]
    return [*chains, *(chain for chain in spoiled if chain is not None)]


def spoil(chain: Chain, rng: random.Random) -> Chain | None:
    """The chain up to one of its true values, another digit in its place; None if it has none."""
    text = chain.thinking
    right = zip(step_ends(text), labels(read_problem(chain.question), text), strict=True)
    ends = [end for end, is_right in right if is_right and VALUE.fullmatch(text[end - 2 : end])]
    if not ends:
        return None
    end = rng.choice(ends)
    digit = rng.choice([digit for digit in "0123456789" if digit != text[end - 1]])
    return Chain(chain.question, text[: end - 1] + digit)


def step_rows(chains: Sequence[Chain]) -> list[StepRow]:
    """The rows of chains, those without steps left out."""
    tokenizer = StepTokenizer(transformers.AutoTokenizer.from_pretrained(POCKET_FOLDER))
    rows = []
    for chain in chains:
        tokens, places = tokenizer.encode(chain.question, chain.thinking)
        rows.append(StepRow(tokens, places, labels(read_problem(chain.question), chain.thinking)))
    return [row for row in rows if row.places]


def new_scorer() -> StepScorer:
    """A network whose trunk is that of s1-pocket."""
    scorer = StepScorer(transformers.AutoConfig.from_pretrained(POCKET_FOLDER))
    trunk = transformers.AutoModel.from_pretrained(POCKET_FOLDER, dtype=torch.float32)
    scorer.trunk.load_state_dict(trunk.state_dict())
    # Faster than the fused attention on rows so short.
    scorer.trunk.set_attn_implementation("eager")
    return scorer


def batches(rows: Sequence[StepRow], recipe: VerifierRecipe, epoch: int) -> list[list[StepRow]]:
    """The rows of an epoch in batches of about equal size, of rows of about equal length."""
    rng = random.Random(f"order {recipe.seed} {epoch}")
    order = sorted(rows, key=lambda row: len(row.tokens) + rng.random())
    found: list[list[StepRow]] = []
    batch: list[StepRow] = []
    for row in order:
        if batch and (len(batch) + 1) * len(row.tokens) > recipe.batch_tokens:
            found.append(batch)
            batch = []
        batch.append(row)
    found.append(batch)
    rng.shuffle(found)
    return found


def step_loss(scorer: StepScorer, batch: Sequence[StepRow]) -> torch.Tensor:
    odds = scorer(*padded([(row.tokens, row.places) for row in batch]))
    rows = [number for number, row in enumerate(batch) for _ in row.places]
    places = [place for row in batch for place in row.places]
    right = torch.tensor([float(each) for row in batch for each in row.right])
    return functional.binary_cross_entropy_with_logits(odds[rows, places], right)


def fit(rows: Sequence[StepRow], recipe: VerifierRecipe, checkpoint: Path) -> StepScorer:
    """Train, from the checkpoint if there is one of the same recipe and rows."""
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    scorer = new_scorer()
    optimizer = torch.optim.AdamW(
        scorer.parameters(), betas=(0.9, 0.98), weight_decay=recipe.weight_decay
    )
    plan = [batch for epoch in range(recipe.epochs) for batch in batches(rows, recipe, epoch)]
    made_of = {**asdict(recipe), "threads": None, "rows": len(rows)}
    done = _resume(checkpoint, made_of, scorer, optimizer)
    saved = time.monotonic()
    with progress("verifier", len(plan), done=done) as bar:
        for step, batch in _from(plan, done):
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate_at(step, len(plan))
            loss = step_loss(scorer, batch)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(scorer.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            bar.advance(f"loss {loss.item():.3f}")
            if time.monotonic() - saved >= CHECKPOINT_SECONDS:
                _save(checkpoint, made_of, scorer, optimizer, step + 1)
                saved = time.monotonic()
    return scorer


def _from(plan: list[list[StepRow]], done: int) -> Iterator[tuple[int, list[StepRow]]]:
    return ((step, plan[step]) for step in range(done, len(plan)))


def _resume(
    checkpoint: Path, made_of: dict[str, Any], scorer: StepScorer, optimizer: torch.optim.Optimizer
) -> int:
    """How many steps are done."""
    if not checkpoint.exists():
        return 0
    saved = torch.load(checkpoint)
    if saved["made_of"] != made_of:
        raise ValueError(f"{checkpoint} is of another run, {saved['made_of']}: remove it")
    scorer.load_state_dict(saved["scorer"])
    optimizer.load_state_dict(saved["optimizer"])
    return int(saved["steps"])


def _save(
    checkpoint: Path,
    made_of: dict[str, Any],
    scorer: StepScorer,
    optimizer: torch.optim.Optimizer,
    steps: int,
) -> None:
    unfinished = checkpoint.with_suffix(".unfinished")
    state = {"scorer": scorer.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save({"made_of": made_of, "steps": steps, **state}, unfinished)
    unfinished.replace(checkpoint)


def export(scorer: StepScorer, out: Path) -> None:
    """Write the files of `PocketVerifier`: weights in bfloat16, and the trunk's configuration."""
    weights = {name: value.bfloat16() for name, value in scorer.state_dict().items()}
    save_file(weights, out / WEIGHTS)
    config = json.loads((POCKET_FOLDER / CONFIG).read_text())
    config["architectures"] = ["StepScorer"]
    (out / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
