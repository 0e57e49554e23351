"""A random model that wanders: greedy decoding never settles, and meets a stop now and then.

It has the embedded model's tokenizer, and an embedding that is larger than its vocabulary, as
Qwen's is, so that some of the tokens it samples are in no tokenizer.
"""

import json
import shutil
from pathlib import Path

from workers.models import POCKET_FOLDER

PADDING = 5


def build(folder: Path) -> Path:
    """Write the model into the folder, as vLLM loads it; about 1 MB."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    known = len(json.loads((POCKET_FOLDER / "tokenizer.json").read_text())["model"]["vocab"])
    added = json.loads((POCKET_FOLDER / "tokenizer.json").read_text())["added_tokens"]
    config = Qwen2Config.from_pretrained(POCKET_FOLDER)
    config.vocab_size = max(known, 1 + max(token["id"] for token in added)) + PADDING
    config.tie_word_embeddings = False
    torch.manual_seed(1)
    model = Qwen2ForCausalLM(config).float()
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.dim() == 2:
                weights.normal_(0, 1.0 if "embed" in name else 0.12)
    model.save_pretrained(folder)
    for path in POCKET_FOLDER.iterdir():
        if "token" in path.name or path.suffix in (".jinja",) or "generation" in path.name:
            shutil.copy(path, folder)
    return folder
