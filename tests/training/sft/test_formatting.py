"""Texts and labels token by token, with a template in the manner of Qwen2.5."""

from typing import Any

import pytest

from training.sft.formatting import NO_LOSS, RowFormatter, power_of_two, report_cuts
from workers.format import S1, S1_STEPS, THINK_TAGS

SYSTEM = "<|im_start|>system\nYou are helpful.<|im_end|>\n"
TEMPLATE = (
    "{{ '" + SYSTEM.replace("\n", "\\n") + "' }}{% for m in messages %}"
    "{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """One token for a character, and one for each control string."""
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    letters = [chr(n) for n in range(32, 127)] + ["\n", "\u200b"]
    model = tokenizers.models.WordLevel({c: n for n, c in enumerate(letters)}, unk_token=" ")
    base = tokenizers.Tokenizer(model)
    base.pre_tokenizer = tokenizers.pre_tokenizers.Split(tokenizers.Regex(r"[\s\S]"), "isolated")
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=base, eos_token="<|im_end|>")
    made.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    made.chat_template = TEMPLATE
    return made


def spelled(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def test_text_and_mask_are_those_of_the_paper(tokenizer: Any) -> None:
    prompt = f"{SYSTEM}<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n"
    rest = "<|im_start|>think\nadd\n<|im_start|>answer\nAnswer: 2<|im_end|>\n"
    made = RowFormatter(tokenizer, S1)
    assert made.text("1+1?", " add\n", "2 ") == (prompt, rest)
    example = made.example("1+1?", " add\n", "2 ")
    masked = [NO_LOSS] * len(spelled(tokenizer, prompt))
    assert example.input_ids == spelled(tokenizer, prompt + rest)
    assert example.labels == [*masked, *spelled(tokenizer, rest)]
    first = next(label for label in example.labels if label != NO_LOSS)
    assert tokenizer.decode([first]) == "<|im_start|>"
    assert example.cut == 0


def test_an_answer_that_has_its_word_keeps_it_once(tokenizer: Any) -> None:
    _, rest = RowFormatter(tokenizer, S1).text("q", "t", "So.\nAnswer: 2")
    assert rest.endswith("answer\nSo.\nAnswer: 2<|im_end|>\n")


def test_think_tags_end_with_an_empty_line(tokenizer: Any) -> None:
    _, rest = RowFormatter(tokenizer, THINK_TAGS).text("q", "t", "2")
    assert rest == "<think>\nt\n</think>\n\nAnswer: 2<|im_end|>\n"


def test_tokens_are_asked_for_by_powers_of_two(tokenizer: Any) -> None:
    assert [power_of_two(n) for n in (0, 1, 2, 3, 1024, 1025)] == [1, 1, 2, 4, 1024, 2048]
    prompt, _ = RowFormatter(tokenizer, S1, "tokens").text("q", "12345", "2")
    assert prompt.endswith("q\n\nThink for up to 8 tokens.<|im_end|>\n<|im_start|>assistant\n")


def test_steps_are_counted_down_from_a_power_of_two(tokenizer: Any) -> None:
    prompt, rest = RowFormatter(tokenizer, S1_STEPS, "steps").text("q", "a\n\nb\n\n\nc", "2")
    assert "q\n\nThink for up to 4 steps.<|im_end|>" in prompt
    assert rest == (
        "<|im_start|>4 steps left\na\n<|im_start|>3 steps left\nb\n<|im_start|>2 steps left\nc\n"
        "<|im_start|>answer\nAnswer: 2<|im_end|>\n"
    )


def test_what_a_block_cuts_is_reported(tokenizer: Any) -> None:
    made = RowFormatter(tokenizer, S1)
    whole = len(made.example("q", "t", "2").input_ids)
    cut = made.example("q", "t", "2", block_size=whole - 3)
    assert (len(cut.input_ids), len(cut.labels), cut.cut) == (whole - 3, whole - 3, 3)
    fits = made.example("q", "t", "2", block_size=whole)
    assert report_cuts([cut, fits]) == (2, 1, 3, whole)


def test_control_strings_in_the_data_stay_text(tokenizer: Any) -> None:
    example = RowFormatter(tokenizer, S1).example("<|im_end|>", "<|im_start|>answer", "2")
    start = tokenizer.convert_tokens_to_ids("<|im_start|>")
    assert example.input_ids.count(start) == 5  # system, user, assistant, think, answer


def test_bad_rows_and_templates_are_refused(tokenizer: Any) -> None:
    with pytest.raises(ValueError, match="thinking must not be empty"):
        RowFormatter(tokenizer, S1).text("q", " ", "2")
    with pytest.raises(ValueError, match="control 'steps' does not go with format 's1'"):
        RowFormatter(tokenizer, S1, "steps")
    tokenizer.chat_template = TEMPLATE.replace("m.content", "m.content.split('</think>')[-1]")
    try:
        with pytest.raises(ValueError, match="template does not keep"):
            RowFormatter(tokenizer, THINK_TAGS).text("q", "t", "2")
    finally:
        tokenizer.chat_template = TEMPLATE
