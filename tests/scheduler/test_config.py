"""Settings in TOML: every kind of value, and every mistake told by its key and value."""

from pathlib import Path

import pytest

from policies.price import Price
from scheduler.config import (
    DRIVER_NAMES,
    EngineConfig,
    PolicyConfig,
    PriceConfig,
    ServeConfig,
)
from scheduler.experiments.settings import ExperimentConfig
from scheduler.settings import from_table, read_toml
from workers.drivers.driver import DRIVERS


def write(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_kind_of_value_is_read(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        price = 1e-3
        port = 9000
        outcomes = "log.jsonl"
        [engine]
        kind = "simulated"
        max_model_len = 2048
        kv_cache_gib = 2
        seed = 7
        [policy]
        name = "fixed"
        options = { extensions = 2, temperature = 0.5 }
        """,
    )
    assert read_toml(path, ServeConfig) == ServeConfig(
        engine=EngineConfig(kind="simulated", max_model_len=2048, kv_cache_gib=2.0, seed=7),
        policy=PolicyConfig("fixed", {"extensions": 2, "temperature": 0.5}),
        price=1e-3,
        port=9000,
        outcomes="log.jsonl",
    )


def test_a_goal_for_the_price_is_read(tmp_path: Path) -> None:
    text = "[price]\ntokens_per_query = 400\nload = 0.5\nshares = { alice = 2, bob = 1.5 }"
    settings = read_toml(write(tmp_path, text), ServeConfig)
    assert settings.pricing == PriceConfig(
        tokens_per_query=400.0, load=0.5, shares={"alice": 2.0, "bob": 1.5}
    )
    assert settings.pricing.price() == Price.for_tokens(400)


def test_tables_of_policies_are_read(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        seeds = 3
        labelled = 1
        policies.plain.policy = "fixed"
        policies."8 votes" = { policy = "majority", samples = 8 }
        """,
    )
    found = read_toml(path, ExperimentConfig)
    assert (found.seeds, found.labelled) == (3, 1.0)
    assert found.named_policies == {
        "plain": PolicyConfig("fixed"),
        "8 votes": PolicyConfig("majority", {"samples": 8}),
    }


def test_nothing_given_is_all_defaults(tmp_path: Path) -> None:
    assert read_toml(write(tmp_path, ""), ServeConfig) == ServeConfig()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prise = 1", ["prise is not", "did you mean 'price'"]),
        ("[engine]\nmodle = 'x'", ["engine.modle", "did you mean 'model'"]),
        ("port = '80'", ["port must be a valid integer", "'80'"]),
        ("port = 80.0", ["port must be a valid integer", "80.0"]),
        ("port = true", ["port must be a valid integer", "True"]),
        ("price = 'cheap'", ["price must be a valid number", "'cheap'"]),
        ("[price]\nper_token = 2.0", ["price.per_token", "2.0"]),
        ("[price]\naccuracy = 1.5", ["price.accuracy", "1.5"]),
        ("[price]\ntokens_per_query = -3", ["price.tokens_per_query", "-3"]),
        ("[price]\ntokens_per_query = nan", ["price.tokens_per_query", "nan"]),
        ("[price]\nload = inf", ["price.load", "inf"]),
        ("[price]\nround_tokens = -1", ["price.round_tokens", "-1"]),
        ("[price]\nshares = { a = 0 }", ["price.shares.a", "0"]),
        (
            "[price]\naccuracy = 0.9\ntokens_per_query = 9",
            ["price.tokens_per_query and accuracy exclude"],
        ),
        ("price = true", ["price must be a valid number", "True"]),
        ("price = 2", ["price must be below 1", "2"]),
        ("price = nan", ["price", "nan"]),
        ("port = 0", ["port", "0"]),
        ("port = 65536", ["port", "65536"]),
        ("replicas = 0", ["replicas", "0"]),
        ("drain_seconds = -1", ["drain_seconds", "-1"]),
        ("drain_seconds = inf", ["drain_seconds", "inf"]),
        ("[scaling]", ["scaling.", "max_replicas", "missing"]),
        ("[scaling]\nmax_replicas = 0", ["scaling.max_replicas", "0"]),
        (
            "[scaling]\nmax_replicas = true",
            ["scaling.max_replicas must be a valid integer", "True"],
        ),
        ("replicas = 3\n[scaling]\nmax_replicas = 2", ["scaling.max_replicas is 2", "3"]),
        ("[scaling]\nmax_replicas = 2\ntokens_per_replica = 0", ["tokens_per_replica", "0"]),
        ("[scaling]\nmax_replicas = 2\ndown_seconds = nan", ["scaling.down_seconds", "nan"]),
        ("[scaling]\nmax_replicas = 2\nreport_seconds = 0", ["scaling.report_seconds", "0"]),
        ("[engine]\ngpus = -1", ["engine.gpus", "-1"]),
        ("answer_tokens = -1", ["answer_tokens", "-1"]),
        ("engine = 'vllm'", ["engine must be", "'vllm'"]),
        ("[engine]\nkind = 'vlm'", ["engine.kind", "'vlm'"]),
        ("[engine]\nkind = 'replayed'", ["engine.recording"]),
        ("[engine]\nmax_model_len = 0", ["engine.max_model_len", "0"]),
        (
            "[engine]\nmax_model_len = 'long'",
            ["engine.max_model_len must be a valid integer", "'long'"],
        ),
        ("[engine]\nkv_cache_gib = 0", ["engine.kv_cache_gib", "0"]),
        ("[engine]\nkv_cache_gib = nan", ["engine.kv_cache_gib", "nan"]),
        ("[policy]\noptions = 3", ["policy.options must be", "3"]),
        ("price = ", ["settings.toml"]),
        ("price = 1\nprice = 2", ["settings.toml"]),
    ],
)
def test_a_mistake_is_told_by_file_key_and_value(
    tmp_path: Path, text: str, told: list[str]
) -> None:
    with pytest.raises(ValueError) as error:
        read_toml(write(tmp_path, text), ServeConfig)
    for part in ["settings.toml", *told]:
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("seeds = 2", ["policies is missing"]),
        ("[policies]", ["policies", "at least 1"]),
        ("policies.a = 3", ["policies.a must be", "3"]),
        ("policies.a.polic = 'fixed'", ["policies.a.policy", "'polic'"]),
        ("labelled = 1.5\npolicies.a.policy = 'fixed'", ["labelled", "1.5"]),
        ("limit = 0\npolicies.a.policy = 'fixed'", ["limit", "0"]),
        ("seeds = 0\npolicies.a.policy = 'fixed'", ["seeds", "0"]),
        ("concurrency = 0\npolicies.a.policy = 'fixed'", ["concurrency", "0"]),
        ("price = 0\npolicies.a.policy = 'fixed'", ["price", "0"]),
    ],
)
def test_so_is_a_mistake_in_an_experiment(tmp_path: Path, text: str, told: list[str]) -> None:
    with pytest.raises(ValueError) as error:
        read_toml(write(tmp_path, text), ExperimentConfig)
    for part in told:
        assert part in str(error.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.toml"):
        read_toml(tmp_path / "nowhere.toml", ServeConfig)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"bytes\.toml"):
        read_toml(tmp_path / "bytes.toml", ServeConfig)
    with pytest.raises(ValueError, match=tmp_path.name):
        read_toml(tmp_path, ServeConfig)


def test_the_servers_answer_reserve_goes_to_its_policy_and_its_price_to_all() -> None:
    priced = ServeConfig(price=1e-3, answer_tokens=64)
    assert priced.policy_options == {"answer_tokens": 64}
    assert priced.pricing.price() == Price(1e-3)
    own = from_table(
        ServeConfig, {"policy": {"name": "fixed", "options": {"answer_tokens": 9}}, "price": 1e-3}
    )
    assert own.policy_options == {"answer_tokens": 9}


def test_the_drivers_that_settings_know_are_those_there_are() -> None:
    assert set(DRIVER_NAMES) == set(DRIVERS)
