"""Examples that need a server, against a real one."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.endpoint import Endpoint

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("default")]

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_a_question_is_asked_with_openais_client(endpoint: Endpoint) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "ask.py", endpoint.url],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^answer: \S", done.stdout, re.MULTILINE)
    spent = re.search(r"^tokens: (\d+) chains: (\d+)$", done.stdout, re.MULTILINE)
    assert spent is not None
    assert 0 < int(spent[1]) <= 1000 and int(spent[2]) >= 1
