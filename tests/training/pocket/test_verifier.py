"""How a verifier is trained and measured, on made-up chains. No vLLM."""

import random
from pathlib import Path
from typing import Any

import pytest

from training.pocket.examples import held_out
from training.pocket.problems import read_problem
from training.pocket.verifier.measure import (
    SAMPLES,
    Asked,
    Judged,
    auc,
    best,
    calibration,
    calibration_error,
    majority,
    report,
    scores,
    weighted,
)
from training.pocket.verifier.samples import CHAINS, Chain, problems, read_chains

torch = pytest.importorskip("torch")


def chain(answer: str, reward: float) -> Judged:
    return Judged(answer, 25, [0.9, reward], [True, answer == "7"])


def test_the_area_under_the_curve_counts_pairs() -> None:
    assert auc([0.1, 0.4, 0.35, 0.8], [False, False, True, True]) == pytest.approx(0.75)
    assert auc([0.5, 0.5], [True, False]) == 0.5
    assert auc([1.0, 0.0], [True, False]) == 1.0
    assert auc([1.0], [True]) != auc([1.0], [True])  # of one kind there is no area


def test_calibration_compares_rewards_with_shares() -> None:
    values = [0.05] * 10 + [0.95] * 10
    right = [True] + [False] * 9 + [True] * 8 + [False] * 2
    bins = calibration(values, right)
    expected: list[Any] = [(10, pytest.approx(0.05), 0.1), (10, pytest.approx(0.95), 0.8)]
    assert bins == expected
    assert calibration_error(bins) == pytest.approx(0.5 * 0.05 + 0.5 * 0.15)
    assert calibration([1.0], [True]) == [(1, 1.0, 1.0)]


def test_rewards_can_outvote_a_majority() -> None:
    rng = random.Random(0)
    chains = [chain("3", 0.2), chain("3", 0.3), chain("7", 0.9)]
    assert majority(chains, rng) == "3"
    assert weighted(chains, rng) == "7"
    assert best(chains, rng) == "7"
    tied = [majority([chain("3", 0.1), chain("7", 0.9)], rng) for _ in range(200)]
    assert 60 < tied.count("7") < 140


def test_a_report_has_paired_gains_of_every_class() -> None:
    asked = [
        Asked(name, "7", [chain("7", 0.8)] * few + [chain("3", 0.1)] * (SAMPLES - few))
        for name in ("easy", "sum")
        for few in (3, 5, 10)
    ]
    found = scores(asked, 16)
    assert found["majority"] == [0, 0, 1, 0, 0, 1]
    assert found["best-of-n"] == [1] * 6
    text = report(asked)
    assert "| sum | 16 | 400 | 33.3 ± " in text
    assert "| easy | 0." in text


def test_training_draws_no_held_out_question() -> None:
    drawn = list(problems(300, 0))
    assert held_out().isdisjoint(problem.question for problem in drawn)
    assert [p.question for p in problems(5, 0)] == [p.question for p in drawn[:5]]
    assert drawn[4].family == "sum"


def test_a_spoiled_chain_ends_with_its_only_new_error() -> None:
    from training.pocket.verifier.fit import spoil, with_spoiled
    from training.pocket.verifier.labels import labels

    whole = Chain("a=3 b=a*7-2+5 c=b+4*3 c?", "a=3 *7-2=9+5 b=4 +4*3 c=1")
    for seed in range(20):
        spoiled = spoil(whole, random.Random(seed))
        assert spoiled is not None
        assert whole.thinking.startswith(spoiled.thinking[:-1])
        *before, last = labels(read_problem(whole.question), spoiled.thinking)
        assert all(before) and not last
    assert spoil(Chain(whole.question, "hm\n=4"), random.Random(0)) is None
    assert len(with_spoiled([whole] * 9, 0)) == 12


def test_a_file_of_chains_that_was_torn_is_mended(tmp_path: Path) -> None:
    path = tmp_path / "chains.jsonl"
    line = '{"question": "1+1?", "thinking": "1+1=2"}\n'
    path.write_text(line * (CHAINS + 1) + '{"question": "1+')
    assert read_chains(path) == [Chain("1+1?", "1+1=2")] * CHAINS
    assert path.read_text() == line * CHAINS


@pytest.mark.slow
def test_a_run_goes_on_from_its_checkpoint_and_learns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.pocket.verifier import fit
    from workers.verifier.pocket import PocketVerifier

    right = [Chain(p.question, f"{p.start}={p.answer}") for p in problems(300, 1)]
    wrong = [Chain(each.question, f"{each.thinking[0]}={n % 10}") for n, each in enumerate(right)]
    rows = fit.step_rows([*right[4::5], *wrong[4::5]])
    assert len(rows) == 120
    recipe = fit.VerifierRecipe(epochs=3, batch_tokens=600, warmup_steps=2, threads=1)
    whole = fit.fit(rows, recipe, tmp_path / "none.pt")
    assert fit.step_loss(whole, rows) < fit.step_loss(fit.new_scorer(), rows) - 0.03

    class Stopped(Exception):
        pass

    monkeypatch.setattr(fit, "CHECKPOINT_SECONDS", 0.0)
    saved = fit._save

    def stop(*arguments: object) -> None:
        saved(*arguments)  # type: ignore[arg-type]
        if arguments[-1] == 5:
            raise Stopped

    monkeypatch.setattr(fit, "_save", stop)
    with pytest.raises(Stopped):
        fit.fit(rows, recipe, tmp_path / "run.pt")
    resumed = fit.fit(rows, recipe, tmp_path / "run.pt")
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
    with pytest.raises(ValueError, match=r"run\.pt is of another run"):
        fit.fit(rows[:-1], recipe, tmp_path / "run.pt")
    fit.export(resumed, tmp_path)
    (rewards,) = PocketVerifier(tmp_path).score_pairs([right[4]])
    assert len(rewards) == 1
    assert (tmp_path / "model.safetensors").stat().st_size < 3_000_000
