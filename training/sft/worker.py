"""What one worker of a training run does: transformers' Trainer, with DeepSpeed below it.

All workers run this; the process group is there before. The only importer of `deepspeed`.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from training.sft.checkpoints import FoundCheckpoint, last_whole
from training.sft.deepspeed_config import deepspeed_config
from training.sft.examples import load
from training.sft.export import write_model
from training.sft.settings import FineTuning
from training.sft.universal import fitting


@dataclass(frozen=True, slots=True)
class Worker:
    """One of `workers`. `report` gets the metrics of every log step, in every worker alike."""

    rank: int
    workers: int
    report: Callable[[Any], None]


def train(settings: FineTuning, worker: Worker) -> None:
    """Train from the last whole checkpoint to the end, and write the model."""
    _set_up_process(settings)
    from transformers import PrinterCallback, Trainer
    from transformers.utils import logging

    logging.disable_progress_bar()
    begin = _beginning(settings, worker)
    arguments = _arguments(settings, universal=begin is not None and begin.universal)
    model, collator = _model(settings)
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=load(settings.examples),
        data_collator=collator,
        callbacks=[_follow(settings, worker)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=None if begin is None else str(begin.folder))
    weights = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if worker.rank == 0:
        model.config.use_cache = True
        write_model(settings.trained, model, weights, collator.tokenizer, settings)
    trainer.accelerator.wait_for_everyone()


def _arguments(settings: FineTuning, *, universal: bool) -> Any:
    from transformers import TrainingArguments

    training = settings.training
    return TrainingArguments(
        output_dir=str(settings.checkpoints),
        deepspeed=deepspeed_config(settings, universal=universal),
        use_cpu=not settings.parallel.gpu,
        num_train_epochs=training.epochs,
        per_device_train_batch_size=training.micro_batch_size,
        gradient_accumulation_steps=settings.accumulation,
        learning_rate=training.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=training.warmup,  # below 1: a share
        weight_decay=training.weight_decay,
        adam_beta1=training.beta1,
        adam_beta2=training.beta2,
        max_grad_norm=training.max_grad_norm,
        optim="adamw_torch_fused" if settings.parallel.gpu else "adamw_torch",
        bf16=training.precision == "bf16",
        gradient_checkpointing=training.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        train_sampling_strategy="group_by_length" if training.group_by_length else "random",
        seed=training.seed,
        save_steps=training.save_steps,
        save_total_limit=training.keep_checkpoints,
        logging_steps=training.log_steps,
        include_num_input_tokens_seen="non_padding",
        report_to=["tensorboard"],
        disable_tqdm=True,
    )


def _model(settings: FineTuning) -> tuple[Any, Any]:
    """The model, and what pads its rows. The arguments of the Trainer must be made before."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, DataCollatorForSeq2Seq

    tokenizer = AutoTokenizer.from_pretrained(**settings.model.place)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # padding is masked, so any token will do
    is_bf16 = settings.training.precision == "bf16"
    model = AutoModelForCausalLM.from_pretrained(
        **settings.model.place,
        dtype="bfloat16" if is_bf16 else "float32",
        attn_implementation=settings.model.attention,
    )
    model.config.use_cache = False
    return model, DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=-100)


def _follow(settings: FineTuning, worker: Worker) -> Any:
    from training.sft.follow import Follow

    return Follow(
        settings.metrics,
        worker.report,
        is_first=worker.rank == 0,
        workers=worker.workers,
        zero_stage=settings.parallel.zero_stage,
    )


def _beginning(settings: FineTuning, worker: Worker) -> FoundCheckpoint | None:
    """The checkpoint to go on from, the same in every worker; converted if it has to be."""
    import torch.distributed

    found: list[Any] = [None]
    if worker.rank == 0:
        try:
            found = [last_whole(settings.checkpoints)]
            if found[0] is not None:
                found = [fitting(found[0], worker.workers, settings.parallel.zero_stage)]
        except (ValueError, RuntimeError) as error:  # the other workers raise it, too
            found = [error]
    if worker.workers > 1:
        torch.distributed.broadcast_object_list(found)
    if isinstance(found[0], Exception):
        raise found[0]
    begin: FoundCheckpoint | None = found[0]
    return begin


def _set_up_process(settings: FineTuning) -> None:
    """What has to be set before DeepSpeed is imported."""
    import torch

    os.environ["TENSORBOARD_LOGGING_DIR"] = str(settings.folder / "tensorboard")
    os.environ["DS_SKIP_CUDA_CHECK"] = "1"
    if settings.parallel.gpu:
        return
    os.environ["DS_ACCELERATOR"] = "cpu"
    # Accelerate would take all cores, which the workers of one machine share.
    os.environ["OMP_NUM_THREADS"] = str(settings.parallel.cpus_per_worker)
    torch.set_num_threads(settings.parallel.cpus_per_worker)
    import deepspeed.ops

    # Sums over shared memory need a compiler, and two minutes at the first run of a machine.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
