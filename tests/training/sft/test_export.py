"""A trained model is written once, in one precision, with its format beside it."""

from pathlib import Path

import pytest

from training.sft.settings import Data, FineTuning, Model, Training
from workers.format import S1
from workers.models import POCKET_FOLDER, thinking_format

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


def test_tied_weights_are_written_once(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    from training.sft.export import write_model

    model = transformers.AutoModelForCausalLM.from_pretrained(POCKET_FOLDER, dtype="float32")
    tokenizer = transformers.AutoTokenizer.from_pretrained(POCKET_FOLDER)
    # As workers gather them: copies, which share no memory.
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    assert "lm_head.weight" in weights
    settings = FineTuning(
        str(tmp_path), Model("s1-pocket"), Data("rows.jsonl"), Training(precision="bf16")
    )
    write_model(settings.trained, model, weights, tokenizer, settings)
    written = load_file(settings.trained / "model.safetensors")
    assert written.keys() == weights.keys() - {"lm_head.weight"}
    assert {value.dtype for value in written.values()} == {torch.bfloat16}
    assert thinking_format(str(settings.trained)) == S1
    again = transformers.AutoModelForCausalLM.from_pretrained(settings.trained)
    assert again.lm_head.weight.data_ptr() == again.model.embed_tokens.weight.data_ptr()
