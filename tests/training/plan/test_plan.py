"""Memory, time and advice against cases worked out by hand; the command on the embedded model."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from thinkbudget import main
from training.plan.accelerators import CARDS
from training.plan.architecture import Architecture
from training.plan.compute import Rows, duration, flops, occupancy
from training.plan.fitting import changes_that_fit
from training.plan.memory import GIB, Setup, memory
from training.plan.sheet import Plan, lines
from training.train_command import GPUS

# 2 layers of 8 wide: 2 * (8*4*8 + 3*8*10 + 16) = 1024, vocabulary 2 * 5 * 8, last norm 8.
TINY = Architecture(2, 8, 2, 2, 4, 10, 5, tied=False)
# Qwen2.5-32B; test_architecture.py compares its size.
S1 = Architecture(64, 5120, 40, 8, 128, 27648, 152064, tied=False, bias=True)
H100 = CARDS["h100"].at("bf16")


def test_a_stage_divides_what_it_shares() -> None:
    assert TINY.parameters == 1112
    got = [memory(TINY, Setup(4, 16, zero_stage=stage)) for stage in range(4)]
    assert [each.optimizer for each in got] == [12 * 1112, 12 * 278, 12 * 278, 12 * 278]
    assert [each.gradients for each in got] == [2 * 1112, 2 * 1112, 2 * 278, 2 * 278]
    assert [each.parameters for each in got] == [2 * 1112, 2 * 1112, 2 * 1112, 2 * 278]
    assert [each.buffers for each in got] == [0, 256, 256, 256 + 2 * 1112]


def test_offloading_moves_the_optimizer_to_the_host() -> None:
    held = memory(TINY, Setup(4, 16, zero_stage=2, offload=True))
    assert (held.optimizer, held.gradients, held.step, held.host) == (0, 0, 0, 16 * 278)


def test_checkpointing_keeps_the_inputs_of_layers_and_one_layer() -> None:
    # Of a token: 2 * (4*8 + 2*8 + 2*8 + 4*10) + 8 * 9 + 4 * 2 = 288 bytes a layer.
    setup = Setup(1, 100, micro_batch_size=3)
    assert memory(TINY, replace(setup, gradient_checkpointing=False)).activations == 300 * 2 * 288
    assert memory(TINY, setup).activations == 300 * (2 * 8 * 2 + 288)
    assert memory(TINY, setup).logits == 300 * 5 * 10


def test_the_vocabulary_of_qwen_takes_tens_of_gib_at_the_papers_block_size() -> None:
    held = memory(S1, Setup(16, 32768, zero_stage=3))
    assert 46 < held.logits / GIB < 47
    assert held.total > H100.usable
    longest = memory(S1, Setup(16, 9100, zero_stage=3))  # s1K's longest row
    assert longest.total < H100.usable
    eight = memory(S1, Setup(8, 9100, zero_stage=3))  # users of the paper ran out of memory here
    assert eight.total > H100.usable


def test_flops_of_a_row_are_those_of_its_tokens_and_of_the_square_of_its_length() -> None:
    assert TINY.multiplied_parameters == 1024 + 5 * 8 + 8
    one = flops(TINY, Rows([10], epochs=1, batch_size=1))
    assert one == 6 * 1072 * 10 + 12 * 2 * 8 * 50
    assert flops(TINY, Rows([10, 10], epochs=3, batch_size=1)) == 6 * one
    time = duration(one, Rows([10], 1, 1), workers=2, peak=1000.0, mfu=0.5)
    assert (time.seconds, time.gpu_hours) == (one / 1000, one / 1000 * 2 / 3600)
    assert time.tokens_per_second == pytest.approx(10 / time.seconds)


def test_workers_wait_for_the_longest_row() -> None:
    rows = Rows([1, 3], epochs=1, batch_size=2)
    assert occupancy(rows, Setup(1, 3)) == 1.0
    assert occupancy(rows, Setup(2, 3)) == 4 / 6
    assert occupancy(rows, Setup(1, 3, micro_batch_size=2)) == 4 / 6
    # Four rows in two passes: stage 3 waits in each pass, the others once a step.
    four = Rows([1, 3, 3, 1], epochs=1, batch_size=4, seed=0)
    assert occupancy(four, Setup(2, 3, zero_stage=3)) <= occupancy(four, Setup(2, 3, zero_stage=2))
    mixed = Rows([1] * 40 + [9] * 40, epochs=1, batch_size=16)
    setup = Setup(4, 9, zero_stage=3)
    assert occupancy(mixed, setup) < occupancy(mixed._replace(group_by_length=True), setup)


def test_what_does_not_fit_is_told_what_would() -> None:
    setup = Setup(1, 100, zero_stage=0, micro_batch_size=2, gradient_checkpointing=False)
    usable = memory(TINY, replace(setup, micro_batch_size=1)).total
    assert "training.micro_batch_size = 1" in changes_that_fit(TINY, setup, usable, 2)
    fewest = memory(TINY, Setup(1, 100, zero_stage=0)).total
    together = changes_that_fit(TINY, setup, fewest, 2)
    assert together == ["training.gradient_checkpointing = true, training.micro_batch_size = 1"]
    assert changes_that_fit(TINY, setup, 1, 2) == []


def test_the_papers_hours_are_a_low_utilisation() -> None:
    """docs/training.md has these figures."""
    rows = Rows([4700] * 1000, epochs=5, batch_size=16)
    plan = Plan("s1", S1, Setup(16, 9100, 3), rows, exact=False, accelerator=H100, busy=0.4)
    assert (rows.steps, plan.fits) == (315, True)
    assert f"{plan.mfu_of(7.0):.1%}" == "19.0%"
    assert any("315 in 5 epochs" in line for line in lines(plan))


def test_the_names_of_the_cards_are_those_of_the_command() -> None:
    assert tuple(CARDS) == GPUS


CONFIG = """
out = "out"
[model]
name = "s1-pocket"
[data]
path = "rows.jsonl"
max_length = 512
[training]
batch_size = 2
epochs = 2
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    rows = [{"question": "3 + 4", "thinking": "7. " * n, "attempt": "7"} for n in (2, 4, 30)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = tmp_path / "sft.toml"
    path.write_text(CONFIG)
    return path


def test_the_command_reads_the_rows(config: Path) -> None:
    done = CliRunner().invoke(main, ["train", "plan", str(config), "--price", "2", "--json"])
    assert done.exit_code == 0, done.output
    got = json.loads(done.output)
    assert (got["rows"], got["steps"], got["fits"]) == (3, 4, True)
    assert got["dollars"] == pytest.approx(2 * got["gpu_hours"])
    text = CliRunner().invoke(main, ["train", "plan", str(config), "--gpu-hours", "1"]).output
    assert "s1-pocket: " in text
    assert "1 GPU-hours are a utilisation (MFU) of" in text


def test_the_command_needs_no_rows(config: Path) -> None:
    (config.parent / "rows.jsonl").unlink()
    missing = CliRunner().invoke(main, ["train", "plan", str(config)])
    assert (missing.exit_code, "there is no such file" in missing.output) == (2, True)
    one = CliRunner().invoke(main, ["train", "plan", str(config), "--rows", "10"])
    assert (one.exit_code, "given together" in one.output) == (2, True)
    options = ["train", "plan", str(config), "--rows", "10", "--tokens", "1000", "--json"]
    got = json.loads(CliRunner().invoke(main, options).output)
    assert (got["tokens"], got["occupancy"]) == (2000, None)


def test_cpus_are_measured(config: Path) -> None:
    config.write_text(f"{CONFIG}\n[parallel]\ngpu = false\n")
    done = CliRunner().invoke(main, ["train", "plan", str(config)])
    assert done.exit_code == 0, done.output
    assert "1 CPU cores, measured" in done.output


def test_a_run_that_was_measured_is_compared(config: Path) -> None:
    assert "measured" not in CliRunner().invoke(main, ["train", "plan", str(config)]).output
    metrics = config.parent / "out" / "metrics.jsonl"
    metrics.parent.mkdir()
    metrics.write_text('{"tokens_per_second": 10.0}\n{"tokens_per_second": 6e6}\n')
    got = json.loads(CliRunner().invoke(main, ["train", "plan", str(config), "--json"]).output)
    share = got["measured"]["tokens_per_second"] / got["tokens_per_second"]
    assert got["measured"]["mfu"] == pytest.approx(share * got["mfu"])
    text = CliRunner().invoke(main, ["train", "plan", str(config)]).output
    assert "measured    6000000 tokens/s, an MFU of " in text
