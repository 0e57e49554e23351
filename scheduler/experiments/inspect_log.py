"""Results as logs of inspect_ai, whose viewer opens them. The only importer of `inspect_ai`.

A log is one policy on one question set and engine: the set is the task, the policy is its solver,
and seeds are epochs, counted from 1.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scheduler.experiments.metrics.accuracy import summaries
from scheduler.experiments.metrics.table import score_table
from scheduler.experiments.results import ResultRow

SCORE = "correct"
_TOKENS = ("reasoning_tokens", "final_tokens", "forced_tokens", "probe_tokens", "discarded_tokens")
_TOLD = ("class", "seed", "turn", "plan", "stop_reason", "rounds", "chains", "extensions", "price",
         "predicted", "agreement", "labelled", *_TOKENS)  # fmt: skip
TextKey = tuple[str, str, str]
"""Engine, question set and id of a question."""


def write_logs(
    rows: Iterable[ResultRow],
    folder: Path,
    *,
    created: str,
    texts: Mapping[TextKey, str],
    options: Mapping[str, Mapping[str, Any]],
) -> list[Path]:
    """A `.eval` file a log. `created` is an ISO time with its zone; `options` are by policy.

    Raises ValueError where inspect_ai is not installed.
    """
    try:
        from inspect_ai.log import EvalLog, write_eval_log
    except ImportError as error:
        why = f"the export needs the package inspect-ai ({error}); install the extra `inspect`"
        raise ValueError(why) from None
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, log in logs(rows, created=created, texts=texts, options=options).items():
        path = folder / f"{name}.eval"
        write_eval_log(EvalLog.model_validate(log), str(path.resolve()))
        paths.append(path)
    return paths


def logs(
    rows: Iterable[ResultRow],
    *,
    created: str,
    texts: Mapping[TextKey, str],
    options: Mapping[str, Mapping[str, Any]],
) -> dict[str, dict[str, Any]]:
    """By file name, what inspect_ai's EvalLog is made of (version 2 of its schema)."""
    groups: dict[tuple[str, str, str], list[ResultRow]] = {}
    for row in rows:
        groups.setdefault((row["engine"], row["questions"], row["policy"]), []).append(row)
    found = {}
    for (engine, questions, policy), part in groups.items():
        model = next((str(row["model"]) for row in part if row.get("model")), "unknown")
        ids = list(dict.fromkeys(str(row["id"]) for row in part))
        name = re.sub(r"[^\w.=,+~-]", "_", f"{questions}~{policy}~{engine}")
        found[name] = {
            "version": 2,
            "status": "success",
            "eval": {
                "eval_id": name,
                "run_id": name,
                "created": created,
                "task": questions,
                "task_id": name,
                "task_args": {"policy": policy, "engine": engine},
                "solver": policy,
                "solver_args": dict(options.get(policy, {})),
                "dataset": {"name": questions, "samples": len(ids), "sample_ids": ids},
                "model": f"thinkbudget/{model}",
                "config": {"epochs": len({row["seed"] for row in part})},
                "metadata": {"policy": policy, "engine": engine},
            },
            "plan": {"name": policy},
            "results": _results(part),
            "stats": {
                "started_at": created,
                "completed_at": created,
                "model_usage": {f"thinkbudget/{model}": _usage(part)},
            },
            "samples": [
                _sample(row, texts.get((engine, questions, str(row["id"])), str(row["id"])))
                for row in part
            ],
        }
    return found


def _results(rows: Sequence[ResultRow]) -> dict[str, Any]:
    graded = [row for row in rows if row["correct"] is not None]
    metrics = {}
    if graded:
        (whole,) = summaries(score_table(graded))
        metrics = {
            "accuracy": whole.accuracy.value,
            "accuracy_low": whole.accuracy.low,
            "accuracy_high": whole.accuracy.high,
            "tokens": whole.tokens.value,
        }
    scores = {
        "name": SCORE,
        "scorer": SCORE,
        "scored_samples": len(graded),
        "unscored_samples": len(rows) - len(graded),
        "metrics": {name: {"name": name, "value": value} for name, value in metrics.items()},
    }
    return {"total_samples": len(rows), "completed_samples": len(graded), "scores": [scores]}


def _sample(row: ResultRow, text: str) -> dict[str, Any]:
    answer, model = row.get("answer"), str(row.get("model") or "unknown")
    reply = {"role": "assistant", "content": answer or "", "source": "generate", "model": model}
    sample = {
        "id": str(row["id"]),
        "epoch": row["seed"] + 1,
        "input": text,
        "target": row.get("reference") or "",
        "messages": [{"role": "user", "content": text}, reply],
        "output": {
            "model": model,
            "choices": [{"message": reply, "stop_reason": "stop"}],
            "usage": _usage([row]),
            "time": row.get("seconds"),
        },
        "metadata": {name: row.get(name) for name in _TOLD},
        "model_usage": {f"thinkbudget/{model}": _usage([row])},
        "total_time": row.get("seconds"),
    }
    if row["correct"] is not None:
        judged = row.get("judge_reply")
        value = "C" if row["correct"] else "I"
        sample["scores"] = {SCORE: {"value": value, "answer": answer, "explanation": judged}}
    if row.get("error"):
        told = str(row["error"])
        sample["error"] = {"message": told, "traceback": told, "traceback_ansi": told}
    return sample


def _usage(rows: Sequence[ResultRow]) -> dict[str, int]:
    """Prompts are not counted in results."""
    spent = sum(row.get("tokens") or 0 for row in rows)
    thinking = sum(row.get("reasoning_tokens") or 0 for row in rows)
    return {"output_tokens": spent, "total_tokens": spent, "reasoning_tokens": thinking}
