"""s1-pocket, the embedded reasoning model: trained from nothing, written as vLLM reads it."""

import os
from pathlib import Path

import torch
from transformers import GenerationConfig

from training.pocket.pretrain import STEPS, Recipe, build_model, train
from training.pocket.problems import write_questions
from training.pocket.tokenizer import PADDING, TURN_END, build_tokenizer

RECOMMENDED_TEMPERATURE = 1.0
MODEL = Path(__file__).parents[2] / "workers" / "pocket"


def export(checkpoint: Path, out: Path) -> None:
    """Writes the model of any checkpoint, a half-trained one too, with its tokenizer."""
    model = build_model()
    model.load_state_dict(torch.load(checkpoint)["model"])
    tokenizer = build_tokenizer()
    vocabulary = tokenizer.get_vocab()
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=RECOMMENDED_TEMPERATURE,
        eos_token_id=vocabulary[TURN_END],
        pad_token_id=vocabulary[PADDING],
    )
    model.bfloat16().save_pretrained(out)
    tokenizer.save_pretrained(out)


def main(
    out: Path = MODEL,
    *,
    seed: int = 0,
    steps: int = STEPS,
    processes: int | None = None,
    resume: bool = True,
) -> None:
    """Trains into `out`; run again after an interruption, it goes on from its checkpoint there."""
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.pt"
    recipe = Recipe(
        seed=seed,
        steps=steps,
        processes=processes or min(2, len(os.sched_getaffinity(0))),
    )
    train(recipe, checkpoint, resume=resume)
    export(checkpoint, out)
    write_questions(out / "questions.jsonl")
    checkpoint.unlink()
