"""Why the endpoint cannot start, in one line."""

import pytest

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize(
    ("message", "reason"),
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
        (
            "Traceback (most recent call last):\n"
            '  File "core.py", line 80, in __init__\n'
            "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig\n"
            "  Value error, max_model_len (100000) is greater than the derived one (2048)\n"
            "    For further information visit the documentation\n"
            "another deployment is healthy",
            "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig "
            "Value error, max_model_len (100000) is greater than the derived one (2048) "
            "For further information visit the documentation",
        ),
        ("the cluster\n   does not answer \n", "does not answer"),
        ("", "no reason is given"),
    ],
)
def test_the_error_is_found_in_the_traces(message: str, reason: str) -> None:
    from scheduler.cluster.status_text import reason as found

    assert found(message) == reason
