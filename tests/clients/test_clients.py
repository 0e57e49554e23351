"""Real clients against the real endpoint, each in a virtual environment of its own.

Environments are made once, in the folder `.clients`. The light ones run with the other tests; all
of them with `make clients`.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.endpoint import Endpoint

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("default")]

HERE = Path(__file__).parent
HOME = HERE.parents[1] / ".clients"
LIGHT = {
    "openai": ["openai==3.54.0"],
    "langchain": ["langchain-openai==1.7.3"],
}
HEAVY = {
    "anthropic": ["anthropic==2.14.0"],
    "litellm": ["litellm==1.106.2"],
    "inspect": ["inspect-ai==0.3.285", "openai==3.54.0"],
    "lm_eval": ["lm_eval[api]==0.4.13"],
}
ALL = LIGHT | HEAVY


def python_of(client: str) -> Path:
    """The interpreter of a client's own environment, made when it is not there yet."""
    folder = HOME / client
    python, made = folder / "bin" / "python", folder / "made"
    wanted = "\n".join(ALL[client])
    if not made.is_file() or made.read_text(encoding="utf-8") != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*install, "--no-compile", *ALL[client]], check=True)
        made.write_text(wanted, encoding="utf-8")
    return python


@pytest.mark.parametrize(
    "client", [*LIGHT, *(pytest.param(name, marks=pytest.mark.clients) for name in HEAVY)]
)
def test_a_real_client_gets_what_it_asks_for(client: str, endpoint: Endpoint) -> None:
    script = HERE / f"{client}_client.py"
    ran = subprocess.run(
        [python_of(client), script, endpoint.url],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, f"{ran.stdout[-2000:]}\n{ran.stderr[-4000:]}"
