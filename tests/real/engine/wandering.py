"""A random model that wanders (see `save_random_model`), for real vLLM.

It has the embedded model's tokenizer, and an embedding that is larger than its vocabulary, as
Qwen's is, so that some of the tokens it samples are in no tokenizer.
"""

import json
import shutil
from pathlib import Path

from tests.random_model import save_random_model
from workers.models import POCKET_FOLDER

PADDING = 5


def build(folder: Path) -> Path:
    """Write the model into the folder, as vLLM loads it; about 1 MB."""
    known = len(json.loads((POCKET_FOLDER / "tokenizer.json").read_text())["model"]["vocab"])
    added = json.loads((POCKET_FOLDER / "tokenizer.json").read_text())["added_tokens"]
    size = max(known, 1 + max(token["id"] for token in added)) + PADDING
    save_random_model(folder, size)
    for path in POCKET_FOLDER.iterdir():
        if "token" in path.name or path.suffix in (".jinja",) or "generation" in path.name:
            shutil.copy(path, folder)
    return folder
