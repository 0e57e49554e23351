"""Trains s1-pocket on one or two cores: one single-threaded process a core, one all-reduce a step.

The budget is counted in steps, so a seed fixes the data and the schedule. A run that was stopped
goes on from its checkpoint with the data it would have seen.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed
import torch.nn.functional as functional
from torch import Tensor
from torch.multiprocessing.spawn import spawn
from transformers import Qwen2Config, Qwen2ForCausalLM

from training.pocket.batches import TrainingBatch, batches
from training.pocket.examples import KINDS
from training.pocket.tokenizer import PADDING, TURN_END, build_tokenizer

CHECKPOINT_SECONDS = 120.0
LINE_SECONDS = 5.0
LONG_ROW = 256
STEPS = 2000


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides what a run learns."""

    seed: int = 0
    steps: int = STEPS
    processes: int = 2
    learning_rate: float = 4e-3
    warmup_steps: int = 60
    decay_share: float = 0.4

    def learning_rate_at(self, step: int) -> float:
        warmup = min(1.0, (step + 1) / self.warmup_steps)
        decay = min(1.0, max(0.02, (1 - step / self.steps) / self.decay_share))
        return self.learning_rate * warmup * decay


def build_model() -> Qwen2ForCausalLM:
    vocabulary = build_tokenizer().get_vocab()
    config = Qwen2Config(
        vocab_size=len(vocabulary),
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        initializer_range=0.03,
        bos_token_id=None,
        eos_token_id=vocabulary[TURN_END],
        pad_token_id=vocabulary[PADDING],
    )
    return Qwen2ForCausalLM(config)


class Optimizer:
    """Muon for the matrices inside the layers, AdamW for the embedding and the vectors."""

    def __init__(self, model: torch.nn.Module) -> None:
        matrices: list[torch.nn.Parameter] = []
        others: list[torch.nn.Parameter] = []
        for name, parameter in model.named_parameters():
            is_matrix = parameter.ndim == 2 and "embed" not in name
            (matrices if is_matrix else others).append(parameter)
        self.parts: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon(
                matrices,
                weight_decay=0.02,
                momentum=0.95,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=0.0),
        )

    def step(self, learning_rate: float) -> None:
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = learning_rate
            part.step()
            part.zero_grad()

    def state(self) -> list[dict[str, Any]]:
        return [part.state_dict() for part in self.parts]

    def load(self, state: list[dict[str, Any]]) -> None:
        for part, saved in zip(self.parts, state, strict=True):
            part.load_state_dict(saved)


class TrainingProgress:
    """A line that is rewritten on a terminal, and a line every few seconds elsewhere."""

    def __init__(self, recipe: Recipe, first_step: int) -> None:
        self.recipe = recipe
        self.first_step = first_step
        self.is_terminal = sys.stdout.isatty()
        self.started = self.printed = time.monotonic()
        self.tokens = 0
        self.forget()

    def forget(self) -> None:
        self.loss = 0.0
        self.loss_steps = 0
        self.right = torch.zeros(len(KINDS))
        self.seen = torch.zeros(len(KINDS))

    def add(self, step: int, *, loss: float, tokens: int, right: Tensor, kinds: Tensor) -> None:
        self.tokens += tokens
        self.loss += loss
        self.loss_steps += 1
        self.right += torch.bincount(kinds[right], minlength=len(KINDS))
        self.seen += torch.bincount(kinds, minlength=len(KINDS))
        now = time.monotonic()
        if now - self.printed >= LINE_SECONDS or step + 1 == self.recipe.steps:
            self.print(step + 1, now - self.started)
            self.printed = now
            self.forget()

    def print(self, steps: int, seconds: float) -> None:
        left = seconds / (steps - self.first_step) * (self.recipe.steps - steps)
        shares = " ".join(
            f"{kind} {right / seen:.3f}"
            for kind, right, seen in zip(KINDS, self.right, self.seen, strict=True)
            if seen
        )
        line = (
            f"step {steps}/{self.recipe.steps} {self.tokens / 1e6:.2f}M tokens "
            f"{self.tokens / seconds:.0f} tok/s loss {self.loss / self.loss_steps:.3f} "
            f"eta {left / 60:.1f} min | {shares}"
        )
        if self.is_terminal:
            print(f"\r\x1b[K{line}", end="", flush=True)
        else:
            print(line, flush=True)


@dataclass(slots=True)
class Run:
    """One process's share of a training run."""

    recipe: Recipe
    rank: int
    checkpoint: Path
    model: Qwen2ForCausalLM
    optimizer: Optimizer
    steps_done: int = 0

    def resume(self) -> None:
        saved = torch.load(self.checkpoint)
        if saved["recipe"] != asdict(self.recipe):
            raise ValueError(
                f"{self.checkpoint} is of another run, {saved['recipe']}: "
                "remove it, or do not resume"
            )
        self.model.load_state_dict(saved["model"])
        self.optimizer.load(saved["optimizer"])
        self.steps_done = saved["steps_done"]

    def save(self) -> None:
        unfinished = self.checkpoint.with_suffix(".unfinished")
        state = {
            "recipe": asdict(self.recipe),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state(),
            "steps_done": self.steps_done,
        }
        torch.save(state, unfinished)
        unfinished.replace(self.checkpoint)

    def train(self) -> None:
        recipe = self.recipe
        progress = TrainingProgress(recipe, self.steps_done) if self.rank == 0 else None
        saved = time.monotonic()
        data = batches(
            seed=recipe.seed,
            rank=self.rank,
            first_step=self.steps_done,
            steps=recipe.steps,
        )
        for batch in data:
            loss, right, kinds = self.learn(batch)
            step, self.steps_done = self.steps_done, self.steps_done + 1
            if progress is None:
                continue
            tokens = batch.tokens.numel() * recipe.processes
            progress.add(step, loss=loss, tokens=tokens, right=right, kinds=kinds)
            if time.monotonic() - saved >= CHECKPOINT_SECONDS:
                self.save()
                saved = time.monotonic()
        if self.rank == 0:
            self.save()

    def learn(self, batch: TrainingBatch) -> tuple[float, Tensor, Tensor]:
        """One step; returns which tokens with loss were predicted, and their kinds."""
        targets, kinds = batch.tokens[:, 1:], batch.kinds[:, 1:]
        is_taught = kinds != KINDS.index("given")
        # The fused attention wins on long rows only.
        is_long = batch.tokens.shape[1] > LONG_ROW
        self.model.set_attn_implementation("sdpa" if is_long else "eager")
        with torch.autocast("cpu", torch.bfloat16):
            hidden = self.model.model(input_ids=batch.tokens, use_cache=False).last_hidden_state
            logits = self.model.lm_head(hidden[:, :-1][is_taught]).float()
        loss = functional.cross_entropy(logits, targets[is_taught])
        loss.backward()  # type: ignore[no-untyped-call]
        if self.recipe.processes > 1:
            average_gradients(self.model.parameters(), self.recipe.processes)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step(self.recipe.learning_rate_at(self.steps_done))
        return loss.item(), logits.argmax(-1) == targets[is_taught], kinds[is_taught]


def average_gradients(parameters: Iterable[torch.nn.Parameter], processes: int) -> None:
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    together = torch.cat([gradient.flatten() for gradient in gradients])
    torch.distributed.all_reduce(together)
    together /= processes
    start = 0
    for gradient in gradients:
        part = together[start : start + gradient.numel()]
        gradient.copy_(part.view_as(gradient))
        start += gradient.numel()


def train_process(
    rank: int, recipe: Recipe, checkpoint: Path, is_resumed: bool, meeting: str
) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(recipe.seed)
    if recipe.processes > 1:
        torch.distributed.init_process_group(
            "gloo", init_method=meeting, rank=rank, world_size=recipe.processes
        )
    model = build_model()
    run = Run(recipe, rank, checkpoint, model, Optimizer(model))
    if is_resumed:
        run.resume()
    run.train()
    if recipe.processes > 1:
        torch.distributed.destroy_process_group()


def train(recipe: Recipe, checkpoint: Path, *, resume: bool) -> None:
    """Leaves the trained weights in `checkpoint`."""
    # A new process must read one thread a process before torch starts its thread pool.
    os.environ["OMP_NUM_THREADS"] = "1"
    is_resumed = resume and checkpoint.exists()
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        meeting = (Path(folder) / "meeting").as_uri()
        spawn(  # type: ignore[no-untyped-call]
            train_process,
            args=(recipe, checkpoint, is_resumed, meeting),
            nprocs=recipe.processes,
        )
