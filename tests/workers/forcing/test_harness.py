"""The paper's semantics, and ours, are to the token those of the plain loops of reference_loops.py.

And what else the compat chains promise. Their tricky cases are in test_s1_cases.py.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from random import Random

import pytest

from policies.plan import Budget
from tests.workers.forcing.reference_loops import (
    Config,
    Generate,
    ReferenceReply,
    clean,
    harness,
    readme,
    toy_model,
)
from tests.workers.letters import Letters
from workers.forcing.chain import Chain, Finish, Segment
from workers.forcing.harness import HarnessChain, ReadmeChain, chain_for
from workers.format import S1, bind

SPECIAL = ("<|im_end|>", "<|im_start|>")
MERGES = ("ab", "bc", "cW", "Wait", ".\n", "e\n", "Wa", "think", "answer", "Final Answer:")
LETTERS = Letters(*SPECIAL, *MERGES)
FORMAT = bind(S1, LETTERS)
# A newline every tenth token or so, to meet thinking that ends in one.
VOCABULARY = LETTERS.encode("x", add_special_tokens=False) + [
    token
    for token in [*LETTERS.known.values(), *LETTERS.encode("abcdefghi\n\n\nW .,")]
    if token > len(SPECIAL)
]
TOY = toy_model(VOCABULARY, stops=(1, 2))
STOPS = [LETTERS.known["<|im_start|>"], LETTERS.known["<|im_end|>"]]
PLAIN = Config(
    encode=lambda text: LETTERS.encode(text, add_special_tokens=False),
    decode=LETTERS.decode,
    stops=STOPS,
    end_of_turn=STOPS[1:],
    cap=0,
)


def ids(text: str) -> list[int]:
    """One token a letter; S is <|im_start|>."""
    return [2 if letter == "S" else 1000 + ord(letter) for letter in text]


def prompts(count: int) -> list[list[int]]:
    rng = Random(count)
    heads = [[rng.choice(VOCABULARY) for _ in range(rng.randint(1, 12))] for _ in range(count)]
    return [[*head, *FORMAT.start] for head in heads]


def run(chain: Chain, prompt: list[int], generate: Generate, rng: Random) -> ReferenceReply:
    """The driver's loop; what is generated comes in pieces of random sizes."""
    generated = 0
    while call := chain.next_call():
        stops = [stop for stop in STOPS if stop in call.stops]
        said, reason = generate(chain.prompt(prompt), call.max_tokens, call.min_tokens, stops)
        generated += len(said)
        finish: Finish = "stop" if reason == "stop" else "length"
        while len(said) > (size := rng.randint(0, 60)):
            chain.feed(said[:size], None)
            said = said[size:]
        chain.feed(said, finish)
    assert chain.violations() == ()
    if chain.budget.compat and chain.room == PLAIN.room:
        appended = chain.extensions_used * len(chain.extension) + len(chain.closing)
        kept = len(chain.thinking) + len(chain.closing) + len(chain.answer)
        assert generated + appended == kept + chain.discarded_tokens
    cut = chain.stop_cause in ("max_thinking", "context")
    return ReferenceReply(chain.thinking, chain.closing, chain.answer, chain.extensions_used, cut)


CAPS = (1, 2, 3, 5, 8, 13, 20, 21, 34, 50, 80, 130, 300)
GRID = [
    replace(PLAIN, cap=cap, ignore=ignore, ignore_text=text)
    for cap, ignore, text in product(CAPS, (None, 1, 2, 3, 5, 8), ("Wait", "Hmm, ab", ""))
    if ignore or text == "Wait"
] + [
    replace(PLAIN, cap=cap, minimum=least, ignore=ignore)
    for cap, least, ignore in product(CAPS, (1, 4, 19, 60), (None, 2))
    if least < cap
]
ROOMS = [replace(config, room=room) for config in GRID[::5] for room in (0, 1, 7, 33, 64)]


def budget(config: Config, *, compat: str = "") -> Budget:
    return Budget(
        max_thinking_tokens=config.cap,
        min_thinking_tokens=config.minimum,
        extensions=config.ignore or 0,
        extension_text=config.ignore_text,
        answer_tokens=config.answer_tokens,
        harness_compat=compat == "harness",
        readme_compat=compat == "readme",
    )


LOOPS = {"": clean, "harness": harness, "readme": readme}


@pytest.mark.slow
@pytest.mark.parametrize("compat", LOOPS)
@pytest.mark.parametrize("one_in", [20, 90], ids=["short", "long"])
def test_chains_and_plain_loops_make_the_same_tokens(compat: str, one_in: int) -> None:
    generate = toy_model(VOCABULARY, (1, 2), one_in)
    configs = [
        config
        for config in [*GRID, *([] if compat == "readme" else ROOMS)]
        if not (compat == "" and config.ignore_text == "")
        and not (compat == "readme" and config.minimum)
    ]
    rng = Random(one_in)
    seen = set()
    for number, prompt in enumerate(prompts(100)):
        for config in configs[number % 12 :: 12]:
            wanted = LOOPS[compat](generate, prompt, config)
            chain = chain_for(FORMAT, budget(config, compat=compat), room=config.room)
            assert run(chain, prompt, generate, rng) == wanted, config
            newline = wanted.closing[:1] == [*FORMAT.newline]
            seen.add((wanted.cut, newline, min(wanted.extensions, 2)))
    # Every kind of end was met: by itself and cut, with and without a newline, 0, 1, more Waits.
    newlines = {False} if compat == "readme" else {False, True}
    ends = {(False, False)} | {(True, newline) for newline in newlines}
    assert seen == {(*end, waits) for end in ends for waits in (0, 1, 2)}


def test_a_forcing_picks_its_chain() -> None:
    for compat, kind in (("", Chain), ("harness", HarnessChain), ("readme", ReadmeChain)):
        assert type(chain_for(FORMAT, budget(PLAIN, compat=compat), 9)) is kind


def test_nothing_is_shown_that_the_harness_cuts_away_later() -> None:
    chain = chain_for(FORMAT, Budget(3, extensions=1, harness_compat=True), 99)
    assert chain.feed(ids("ab"), None) == []
    assert chain.feed(ids("cS"), "stop") == []
    assert chain.feed(ids("de"), "length") == [
        Segment("thinking", tuple(ids("abc"))),
        Segment("answer", chain.forced_answer),
    ]


def test_what_the_harness_cuts_away_counts_as_discarded() -> None:
    chain = chain_for(FORMAT, Budget(3, extensions=2, harness_compat=True), 99)
    chain.feed(ids("abS"), "stop")
    chain.feed(ids("cS"), "stop")
    chain.feed(ids("deS"), "stop")
    assert FORMAT.decode(chain.thinking) == "abWait"
    assert chain.forced_tokens == 1 + len(FORMAT.end)
    stops, words, waits = 3, len("cde"), 1
    assert chain.discarded_tokens == stops + words + waits


def test_a_harness_chain_that_is_ended_early_keeps_no_more_than_its_cap() -> None:
    ends: list[Callable[[Chain], object]] = [
        Chain.conclude,
        lambda chain: chain.abandon("deadline"),
    ]
    for end in ends:
        chain = chain_for(FORMAT, Budget(3, extensions=2, harness_compat=True), 99)
        chain.feed(ids("abS"), "stop")
        chain.feed(ids("cd"), None)
        end(chain)
        assert FORMAT.decode(chain.thinking) == "abWait"


def test_a_harness_whose_format_starts_with_a_newline_adds_none() -> None:
    format_ = bind(replace(S1, start="\n<|im_start|>think"), LETTERS)
    for text in ("ab", "a\n"):
        chain = chain_for(format_, Budget(2, harness_compat=True), 99)
        chain.feed(ids(text), "length")
        assert chain.closing == [*format_.end_on_cut]


def test_the_harness_drops_a_stop_text_by_its_ids() -> None:
    format_ = bind(replace(S1, stops=(), stop_texts=("Wab",)), LETTERS)
    by_its_ids = [LETTERS.known["Wa"], *ids("b")]
    otherwise = [*ids("W"), LETTERS.known["ab"]]
    for spelled, kept in ((by_its_ids, "x"), (otherwise, "xWab")):
        chain = chain_for(format_, Budget(9, harness_compat=True), 99)
        chain.feed([*ids("x"), *spelled], "stop")
        assert FORMAT.decode(chain.thinking) == kept
        assert chain.stop_cause == "natural"


def test_the_readmes_loop_has_no_minimum() -> None:
    with pytest.raises(ValueError) as caught:
        chain_for(FORMAT, Budget(9, 3, readme_compat=True), 99)
    assert str(caught.value) == "min_thinking_tokens is 3, but readme_compat has no minimum"


def test_the_readmes_loop_decodes_each_call_by_itself() -> None:
    chain = chain_for(FORMAT, Budget(9, extensions=1, readme_compat=True), 99)
    chain.feed(ids("ab"), None)
    assert chain.prompt(FORMAT.start) == [*FORMAT.start, LETTERS.known["ab"]]
    chain.feed(ids("S"), "stop")
    assert chain.prompt(FORMAT.start) == [*FORMAT.start, *LETTERS.encode("abWait")[1:]]


class Longer(Letters):
    """Tokenises anew into more tokens than there were: no merges."""

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        if text in self.known:
            return super().encode(text, add_special_tokens=add_special_tokens)
        return Letters(*SPECIAL).encode(text, add_special_tokens=add_special_tokens)


def test_a_text_that_grows_when_tokenised_anew_never_takes_the_answers_place() -> None:
    format_ = bind(S1, Longer(*SPECIAL, *MERGES))
    chain = chain_for(format_, Budget(9, readme_compat=True), 5)
    chain.feed([LETTERS.known["ab"]] * 3, None)
    assert len(chain.prompt([7, *format_.start])) == 1 + len(format_.start) + 5
    chain.feed([LETTERS.known["ab"], 2], "stop")
    assert len(chain.prompt([7, *format_.start])) == 1 + len(format_.start) + 5
    full = chain_for(format_, Budget(9, extensions=1, readme_compat=True), 5)
    full.feed([LETTERS.known["ab"], LETTERS.known["ab"], 2], "stop")
    assert full.stop_cause == "context"
