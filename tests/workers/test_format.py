"""Formats turn into token ids, and a format that does not fit the model is refused."""

from dataclasses import replace
from typing import Any

import pytest

from tests.workers.letters import Letters
from workers.format import FORMATS, S1, S1_STEPS, THINK_TAGS, ThinkingFormat, bind, named_format

PRESETS = (S1, THINK_TAGS, S1_STEPS)
QWEN = Letters("<|im_end|>", "<|im_start|>", "</think>", "<think>", ".\n")


def fields(**changes: Any) -> dict[str, Any]:
    plain = {"name": "mine", "start": "[", "stops": ("]",), "end": "]", "end_on_cut": "] So:"}
    return plain | changes


@pytest.mark.parametrize("format_", PRESETS, ids=lambda format_: format_.name)
def test_presets_are_found_by_their_names(format_: ThinkingFormat) -> None:
    assert named_format(format_.name) is format_
    assert FORMATS[format_.name] is format_
    assert format_.extension_text == "Wait"
    assert format_.forced_answer == "Final Answer:"


def test_s1_has_the_strings_of_s1s_evaluation_code() -> None:
    assert S1.start == "<|im_start|>think"
    assert S1.stops == ("<|im_start|>",)
    assert S1.end == "<|im_start|>answer"
    assert S1.end_on_cut == S1.end + "\nFinal Answer:"


@pytest.mark.parametrize("name", ["think-tag", "thinktags", "think"])
def test_an_unknown_format_names_the_nearest(name: str) -> None:
    with pytest.raises(ValueError) as caught:
        named_format(name)
    assert str(caught.value) == (
        f"format {name!r} is not known, there are s1, think-tags, s1-steps; "
        "did you mean 'think-tags'?"
    )


def test_an_unknown_format_unlike_any_lists_them() -> None:
    with pytest.raises(ValueError) as caught:
        named_format("harmony")
    assert str(caught.value) == "format 'harmony' is not known, there are s1, think-tags, s1-steps"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"end": ""}, "end must not be empty"),
        ({"end_on_cut": ""}, "end_on_cut must not be empty"),
        ({"extension_text": ""}, "extension_text must not be empty"),
        ({"stops": ()}, "stops and stop_texts are both empty"),
        ({"stops": ("]", "")}, "an empty string cannot be a stop"),
        ({"stop_texts": ("",)}, "an empty string cannot be a stop"),
        ({"start": "]"}, "start and end are the same, ']'"),
        ({"end_on_cut": "So:"}, "end_on_cut must begin with end ']'"),
    ],
)
def test_a_format_that_cannot_work_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError) as caught:
        ThinkingFormat(**fields(**changes))
    assert str(caught.value) == f"format 'mine': {why}"


def test_a_format_whose_end_is_the_same_on_a_cut_forces_no_answer() -> None:
    assert ThinkingFormat(**fields(end_on_cut="]")).forced_answer == ""


@pytest.mark.parametrize("format_", PRESETS, ids=lambda format_: format_.name)
def test_a_bound_format_says_in_ids_what_it_says_in_strings(format_: ThinkingFormat) -> None:
    bound = bind(format_, QWEN)
    assert QWEN.decode([*bound.start]) == format_.start
    assert QWEN.decode([*bound.end]) == format_.end
    assert QWEN.decode([*bound.end_on_cut]) == format_.end_on_cut
    assert QWEN.decode([*bound.extension]) == format_.extension_text
    assert QWEN.decode([*bound.newline]) == "\n"
    assert {QWEN.decode([stop]) for stop in bound.stops} == {*format_.stops}
    assert 0 not in {*bound.start, *bound.end, *bound.end_on_cut, *bound.extension}


def test_the_end_on_a_cut_begins_with_the_end_even_where_the_tokenizer_would_merge() -> None:
    merging = Letters("</s>", "]", "] ", "[")
    assert len(bind(ThinkingFormat(**fields()), merging).encode("] ")) == 1
    bound = bind(ThinkingFormat(**fields()), merging)
    assert bound.end_on_cut[: len(bound.end)] == bound.end
    merged = Letters("</s>", "answer\n", "<|im_start|>")
    bound = bind(S1, merged)
    assert bound.end_on_cut[: len(bound.end)] == bound.end
    assert merged.decode([*bound.end_on_cut]) == S1.end_on_cut


def test_every_end_of_turn_ends_a_turn() -> None:
    assert bind(S1, QWEN).end_of_turn == {1}
    assert bind(S1, QWEN, (7, 1, 8)).end_of_turn == {1, 7, 8}


def test_several_stops_are_all_stops() -> None:
    bound = bind(replace(S1, stops=("<|im_start|>", "</think>")), QWEN)
    assert bound.stops == {QWEN.known["<|im_start|>"], QWEN.known["</think>"]}


def test_a_format_may_leave_the_start_to_the_model_and_stop_at_texts_only() -> None:
    bound = bind(ThinkingFormat(**fields(start="", stops=(), stop_texts=("So:", "]]"))), QWEN)
    assert (bound.start, bound.stops) == ((), frozenset())
    assert bound.stop_texts == ("So:", "]]")


def test_case_14_a_stop_of_several_tokens_is_refused() -> None:
    with pytest.raises(ValueError) as caught:
        bind(S1, Letters("</think>"))
    assert str(caught.value) == (
        "format 's1': the stop '<|im_start|>' is 12 tokens in this model's tokenizer, it must be "
        "one; is it the right format for the model? (stop_texts may be of any number of tokens)"
    )


def test_a_tokenizer_without_an_end_of_turn_is_refused() -> None:
    with pytest.raises(ValueError) as caught:
        bind(S1, Letters("<|im_start|>", eos_token_id=None))
    assert str(caught.value) == "format 's1': the tokenizer has no end-of-turn token"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"start": "~["}, "start '~['"),
        ({"end": "~", "end_on_cut": "~ So:"}, "end '~'"),
        ({"end_on_cut": "] ~:"}, "end_on_cut ' ~:'"),
        ({"stops": ("]~",)}, "stop ']~'"),
        ({"stop_texts": ("]]", "~~")}, "stop_texts '~~'"),
        ({"extension_text": "Wait~"}, "extension_text 'Wait~'"),
    ],
)
def test_a_string_that_the_tokenizer_does_not_know_is_refused(
    changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(ValueError) as caught:
        bind(ThinkingFormat(**fields(**changes)), Letters("</s>", missing="~"))
    assert str(caught.value) == (f"format 'mine': this model's tokenizer cannot spell {field}")


def test_a_tokenizer_without_a_newline_is_refused() -> None:
    with pytest.raises(ValueError, match=r"cannot spell the newline '\\n'$"):
        bind(ThinkingFormat(**fields()), Letters("</s>", missing="\n"))


def test_an_extension_text_without_tokens_is_refused() -> None:
    bound = bind(ThinkingFormat(**fields()), Letters("</s>", missing="~"))
    assert bound.extension_for(None) == bound.extension
    assert bound.extension_for("~a") == bound.encode("a")
    with pytest.raises(ValueError) as caught:
        bound.extension_for("~~")
    assert str(caught.value) == "extension_text '~~' has no tokens in this model's tokenizer"


@pytest.mark.parametrize("text", ["<|im_start|>", "Wait<|im_end|>", "so </think> Wait"])
def test_an_extension_text_may_not_hold_control_tokens(text: str) -> None:
    tokens = bind(THINK_TAGS, QWEN, end_of_turn=[QWEN.known["<|im_start|>"]])
    with pytest.raises(ValueError, match="extension_text .* holds a control token"):
        tokens.extension_for(text)
    assert tokens.extension_for("Hmm") == tokens.encode("Hmm")
