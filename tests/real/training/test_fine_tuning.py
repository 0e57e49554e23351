"""Fine-tuning for real: Ray Train, DeepSpeed, a killed worker, and the model in vLLM."""

import json
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from benchmarks.training import write_sums
from tests.commands import run_command
from training.sft.checkpoints import last_whole
from training.sft.launch import run_on_ray
from training.sft.run import fine_tune
from training.sft.settings import Data, FineTuning, Model, Parallel, Training

pytestmark = [
    pytest.mark.real,
    # Ray and DeepSpeed use what is deprecated of their own and of others.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

STEPS = 8
CLOSE = 2e-3
"""How far apart the losses of the same step may be: sums in another order."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 32 rows: sums of digits, thought about step by step."""
    folder = tmp_path_factory.mktemp("training")
    write_sums(folder / "rows.jsonl", 32, (2, 6), seed=5)
    return folder


def settings(folder: Path, name: str, parallel: Parallel) -> FineTuning:
    return FineTuning(
        out=str(folder / name),
        model=Model(name="s1-pocket"),
        data=Data(path=str(folder / "rows.jsonl"), max_length=256),
        training=Training(
            epochs=2,
            batch_size=8,
            micro_batch_size=4,
            learning_rate=1e-3,
            precision="fp32",
            gradient_checkpointing=False,
            save_steps=2,
            keep_checkpoints=9,
        ),
        parallel=parallel,
    )


def in_one_process(settings: FineTuning) -> None:
    """The command line, with one worker."""
    parallel, training = settings.parallel, settings.training
    config = Path(settings.out).with_suffix(".toml")
    config.write_text(
        f"""
        out = "{settings.out}"
        [model]
        name = "{settings.model.name}"
        [data]
        path = "{settings.data.path}"
        max_length = {settings.data.max_length}
        [training]
        epochs = {training.epochs}
        batch_size = {training.batch_size}
        micro_batch_size = {training.micro_batch_size}
        learning_rate = {training.learning_rate}
        precision = "{training.precision}"
        gradient_checkpointing = false
        save_steps = {training.save_steps}
        keep_checkpoints = {training.keep_checkpoints}
        [parallel]
        workers = 1
        gpu = false
        zero_stage = {parallel.zero_stage}
        """
    )
    command = [sys.executable, "-m", "thinkbudget", "train", "sft", str(config), "--in-process"]
    done = run_command(command, seconds=500)
    assert done.returncode == 0, done.stderr[-2000:]
    assert str(settings.trained) in done.stdout


def losses(settings: FineTuning) -> list[float]:
    lines = [json.loads(line) for line in settings.metrics.read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    return [line["loss"] for line in lines]


@pytest.fixture(scope="module")
def alone(folder: Path) -> FineTuning:
    """One process."""
    made = settings(folder, "alone", Parallel(gpu=False))
    in_one_process(made)
    return made


@pytest.fixture(scope="module")
def ray_here() -> Iterator[None]:
    import ray

    ray.init(address="local", num_cpus=3, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def test_two_workers_that_share_all_learn_what_one_process_learns(
    folder: Path, alone: FineTuning, ray_here: None
) -> None:
    shared = settings(folder, "zero3", Parallel(workers=2, gpu=False, zero_stage=3))
    shared = replace(shared, training=replace(shared.training, micro_batch_size=2))
    fine_tune(shared, run_on_ray)
    assert losses(shared) == pytest.approx(losses(alone), abs=CLOSE)
    assert losses(alone)[-1] < 0.8 * losses(alone)[0]
    one, many = (load_file(each.trained / "model.safetensors") for each in (alone, shared))
    assert one.keys() == many.keys()
    assert all(torch.allclose(one[name], many[name], atol=CLOSE) for name in one)


@pytest.fixture(scope="module")
def killed(folder: Path, ray_here: None) -> FineTuning:
    """Two workers, one of which is killed half way."""
    made = settings(folder, "zero2", Parallel(workers=2, gpu=False, zero_stage=2))
    pids: list[int] = []

    def kill() -> None:
        while last_step(made) < STEPS // 2:
            time.sleep(0.05)
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):  # it ended meanwhile
                if not pids and "RayTrainWorker" in " ".join(process.cmdline()):
                    process.kill()
                    pids.append(process.pid)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    fine_tune(made, run_on_ray)
    assert pids
    return made


def test_a_killed_worker_costs_only_the_steps_since_the_checkpoint(
    alone: FineTuning, killed: FineTuning
) -> None:
    assert losses(killed) == pytest.approx(losses(alone), abs=CLOSE)


def test_another_number_of_workers_goes_on_from_the_middle_to_the_same_end(
    folder: Path, alone: FineTuning, killed: FineTuning
) -> None:
    fewer = settings(folder, "fewer", Parallel(gpu=False, zero_stage=2))
    middle = killed.checkpoints / f"checkpoint-{STEPS // 2}"
    shutil.copytree(middle, fewer.checkpoints / middle.name)
    found = last_whole(fewer.checkpoints)
    assert found is not None
    assert found.workers == 2
    in_one_process(fewer)
    lines = [json.loads(line) for line in fewer.metrics.read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(STEPS // 2 + 1, STEPS + 1))
    again = [line["loss"] for line in lines]
    assert again == pytest.approx(losses(alone)[STEPS // 2 :], abs=CLOSE)


def last_step(settings: FineTuning) -> int:
    try:
        lines = settings.metrics.read_text().splitlines()
        return int(json.loads(lines[-1])["step"])
    except (OSError, ValueError, IndexError):
        return 0


IN_VLLM = """
import json, sys
from vllm import LLM, SamplingParams
llm = LLM(sys.argv[1], dtype="float32", enforce_eager=True, max_model_len=256, max_num_seqs=4,
          kv_cache_memory_bytes=64 << 20)
prompts = json.loads(sys.argv[2])
asked = SamplingParams(temperature=0.0, max_tokens=24, detokenize=False)
outputs = llm.generate([{"prompt_token_ids": each} for each in prompts], asked, use_tqdm=False)
print("TOKENS", json.dumps([list(each.outputs[0].token_ids) for each in outputs]))
"""


def test_the_model_answers_alike_in_transformers_and_vllm(alone: FineTuning) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert not list(alone.trained.glob("*.bin"))
    assert json.loads((alone.trained / "thinking_format.json").read_text())["name"] == "s1"
    tokenizer = AutoTokenizer.from_pretrained(alone.trained)
    model = AutoModelForCausalLM.from_pretrained(alone.trained, dtype="float32")
    prompts = []
    for question in ("1+2?", "4+5+6?", "9+9+1+2?"):
        turn = [{"role": "user", "content": question}]
        text = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        prompts.append(tokenizer.encode(f"{text}<|im_start|>think\n"))
    wanted = []
    for prompt in prompts:
        made = model.generate(torch.tensor([prompt]), max_new_tokens=24, do_sample=False)
        wanted.append(made[0, len(prompt) :].tolist())
    command = [sys.executable, "-c", IN_VLLM, str(alone.trained), json.dumps(prompts)]
    done = run_command(command, seconds=500)
    assert done.returncode == 0, done.stderr[-2000:]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("TOKENS ")]
    assert json.loads(line.removeprefix("TOKENS ")) == wanted
