"""What the tests of chains on a core share."""

from typing import Any

import pytest

from workers.models import POCKET_FOLDER


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """The embedded model's, whose chat template also writes tools."""
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        str(POCKET_FOLDER), local_files_only=True
    )
    tokenizer.chat_template = "{% if tools %}{{ tools | tojson }}{% endif %}" + (
        tokenizer.chat_template
    )
    return tokenizer
