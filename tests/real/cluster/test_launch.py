"""Why the endpoint cannot start, in one line."""

import pytest

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (
            "Deploying application thinkbudget failed: Failed to update the deployments\n"
            "Traceback (most recent call last):\n"
            '  File "engine.py", line 12, in start\n'
            "    raise ValueError(why)\n"
            "ValueError: max_model_len (100) is too\n\n",
            "ValueError: max_model_len (100) is too",
        ),
        (
            "Traceback (most recent call last):\n"
            "\x1b[36mray.exceptions.ActorDiedError\x1b[39m: gone\nmore of it",
            "ray.exceptions.ActorDiedError: gone",
        ),
        ("the cluster\n   does not answer \n", "does not answer"),
        ("", "no reason is told"),
    ],
)
def test_the_error_is_found_in_the_traces(told: str, reason: str) -> None:
    from scheduler.cluster.launch import _reason

    assert _reason(told) == reason
