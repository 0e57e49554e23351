"""Settings of a fine-tuning: defaults are the paper's, and what contradicts itself is refused."""

from pathlib import Path

import pytest

from scheduler.settings import from_table
from training.sft.deepspeed_config import deepspeed_config
from training.sft.settings import FineTuning, read_settings

CONFIGS = Path(__file__).parents[3] / "training" / "configs"
TABLE = {"out": "out", "model": {"name": "s1-pocket"}, "data": {"path": "rows.jsonl"}}


def test_the_defaults_are_those_of_the_paper() -> None:
    """s1, appendix D: 5 epochs, batches of 16, and 1e-5 after 5 % of the steps."""
    training = read_settings(CONFIGS / "s1-32b.toml").training
    assert (training.epochs, training.batch_size, training.learning_rate) == (5, 16, 1e-5)
    assert (training.warmup, training.weight_decay) == (0.05, 1e-4)
    assert (training.beta1, training.beta2) == (0.9, 0.95)
    defaults = from_table(FineTuning, TABLE).training
    assert (defaults.epochs, defaults.learning_rate) == (training.epochs, training.learning_rate)


@pytest.mark.parametrize("config", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_configurations_hold_together(config: Path) -> None:
    settings = read_settings(config)
    assert settings.accumulation * settings.micro_rows == settings.training.batch_size
    assert deepspeed_config(settings)["zero_optimization"]["stage"] == settings.parallel.zero_stage


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"training": {"batch_size": 10}, "parallel": {"workers": 4}}, "batch_size 10.*4 x 1 = 4"),
        ({"model": {"name": "m", "format": "s2"}}, "'s2' is not known.*'s1'"),
        ({"training": {"epoch": 3}}, "training.epoch is not a known key; did you mean 'epochs'"),
        ({"training": {"learning_rate": 0}}, "training.learning_rate .*got 0"),
        ({"training": {"warmup": 1.0}}, "training.warmup .*got 1"),
        ({"parallel": {"zero_stage": 4}}, "parallel.zero_stage .*got 4"),
        ({"parallel": {"offload": True, "gpu": False}}, "offload needs GPUs"),
        ({"data": {"path": "x", "long_rows": "chop"}}, "data.long_rows .*got 'chop'"),
        ({"training": {"keep_checkpoints": 1}}, "training.keep_checkpoints .*got 1"),
    ],
)
def test_wrong_settings_are_named(change: dict[str, dict[str, object]], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        from_table(FineTuning, {**TABLE, **change})


@pytest.mark.parametrize(
    ("own", "why"),
    [
        ({"train_batch_size": 4}, "train_batch_size 4 .*training.batch_size"),
        ({"zero_optimization": {"stage": 1}}, "zero_optimization.stage 1 .*zero_stage"),
        ({"bf16": {"enabled": False}}, "bf16.enabled False .*precision"),
        ({"gradient_clipping": 0.5}, "gradient_clipping 0.5 .*max_grad_norm"),
        ({"optimizer": {"type": "Lamb"}}, "optimizer .*learning_rate"),
    ],
)
def test_a_deepspeed_table_that_contradicts_is_refused(own: dict[str, object], why: str) -> None:
    settings = from_table(FineTuning, {**TABLE, "parallel": {"deepspeed": own}})
    with pytest.raises(ValueError, match=why):
        deepspeed_config(settings)


def test_a_deepspeed_table_is_merged_into_ours() -> None:
    own = {"zero_optimization": {"reduce_bucket_size": 5}, "wall_clock_breakdown": True}
    settings = from_table(FineTuning, {**TABLE, "parallel": {"deepspeed": own, "zero_stage": 3}})
    config = deepspeed_config(settings)
    assert config["wall_clock_breakdown"] is True
    assert config["zero_optimization"]["reduce_bucket_size"] == 5
    assert config["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"] is True


def test_the_spread_of_the_work_is_not_part_of_what_is_trained() -> None:
    one = from_table(FineTuning, TABLE)
    spread = {"workers": 4, "zero_stage": 3}
    many = from_table(FineTuning, {**TABLE, "parallel": spread})
    other = from_table(FineTuning, {**TABLE, "training": {"seed": 1}})
    assert one.identity == many.identity != other.identity


def test_paths_begin_at_the_folder_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    file = tmp_path / "sft.toml"
    file.write_text('out = "o"\n[model]\nname = "base"\n[data]\npath = "rows"\n')
    settings = read_settings(file)
    assert settings.out == str(tmp_path / "o")
    assert settings.model.name == str(tmp_path / "base")
    assert settings.data.path == str(tmp_path / "rows")
