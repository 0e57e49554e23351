"""What is collected from a running server is what the same engine gives in this process."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from policies.plan import Budget
from policies.signals import Probe, Probing, Signals
from scheduler.experiments import cell_run, runner
from scheduler.experiments.completions_engine import completions_engine
from scheduler.experiments.prepare import prepare
from scheduler.experiments.results import read_cell
from scheduler.experiments.settings import CompletionsConfig, ExperimentConfig
from scheduler.settings import from_table
from tests.http_server import HttpReply, HttpRequest, http_server
from tests.scheduler.experiments.test_endpoint import Server, server
from tests.scheduler.experiments.test_runner import Steps
from thinkbudget import main
from workers.drivers.chain_engine import ChainEngine, ChainOptions
from workers.drivers.core import GenerateOptions
from workers.engine import Engine, SampleRequest
from workers.forcing.chain import GenerateCall
from workers.format import S1, TokenFormat, bind
from workers.models import POCKET_FOLDER
from workers.sample import Sample
from workers.simulated.toy_core import ToyCore
from workers.vocabulary import load_tokenizer

assert server  # a fixture

COUNT = 3
CONTEXT = 500
KEY = "tb-right"


@pytest.fixture(scope="module")
def format_() -> TokenFormat:
    return bind(S1, load_tokenizer(str(POCKET_FOLDER)))


def toy(format_: TokenFormat) -> ToyCore:
    words = [token for text in "a=7 b 1 2 3\n" for token in format_.encode(text)]
    return ToyCore(format_, words, vocabulary=1 << 20, one_in=40, max_model_len=CONTEXT)


@dataclass
class CompletionsServer:
    """Replies to text completions with what a toy core says. `ids` as vLLM's server has them."""

    format: TokenFormat
    ids: bool = True
    logprobs: bool = True
    #: Whether it refuses fields that OpenAI does not have.
    strict: bool = True
    key: str | None = None
    #: So many completions are answered; then the key is not known any more.
    left: int = 1 << 30
    asked: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, request: HttpRequest) -> HttpReply:
        sent = request.headers.get("authorization")
        if self.left < 1 or (self.key and sent != f"Bearer {self.key}"):
            return HttpReply({"error": {"message": "who are you?", "code": "invalid_api_key"}}, 401)
        if request.method == "GET":
            root = str(POCKET_FOLDER)
            card = {"id": "toy", "owned_by": "vllm", "root": root, "max_model_len": CONTEXT}
            return HttpReply({"data": [card]})
        body = request.body
        self.asked.append(body)
        if not self.ids and self.strict and body.keys() - {
            "model", "prompt", "max_tokens", "stop", "temperature", "top_p"
        }:  # fmt: skip
            return HttpReply({"error": {"message": "extra fields not permitted"}}, 400)
        if not self.logprobs and "logprobs" in body:
            return HttpReply({"error": {"message": "logprobs: not supported"}}, 400)
        self.left -= 1
        return HttpReply({"choices": [asyncio.run(self.choice(body))]})

    async def choice(self, body: dict[str, Any]) -> dict[str, Any]:
        format_ = self.format
        if not isinstance(body["prompt"], str):
            prompt, stops = body["prompt"], frozenset(body["stop_token_ids"])
        else:
            prompt = list(format_.encode(body["prompt"]))
            stops = frozenset(format_.encode(stop)[0] for stop in body["stop"])
        call = GenerateCall(body["max_tokens"], body.get("min_tokens", 0), stops)
        tokens: list[int] = []
        finish = None
        async for delta in toy(format_).generate("", prompt, call, GenerateOptions()):
            tokens += delta.tokens
            finish = delta.finish
        shown = tokens[: len(tokens) - (finish == "stop")]
        choice: dict[str, Any] = {"text": format_.decode(shown), "finish_reason": finish}
        if not self.ids:
            return choice
        choice["token_ids"] = tokens
        if "logprobs" in body:
            sure = [-1.0 - token % 3 for token in tokens]
            likeliest = [{f"token_id:{t}": s} for t, s in zip(tokens, sure, strict=True)]
            choice["logprobs"] = {"token_logprobs": sure, "top_logprobs": likeliest}
        return choice


@contextmanager
def serving(answer: Callable[[HttpRequest], HttpReply]) -> Iterator[str]:
    with http_server(answer) as url:
        yield url


def collected(out: Path, *flags: str) -> Result:
    return CliRunner().invoke(main, ["collect", *flags, "-o", str(out)])


def lines_of(out: Path) -> list[dict[str, Any]]:
    (log,) = (out / "outcomes").glob("*.jsonl")
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return sorted(lines, key=lambda line: str(line["question_id"]))


def replayed(out: Path, to: Path, **policies: Any) -> list[dict[str, Any]]:
    engine = {"kind": "replayed", "recording": str(out / "outcomes")}
    prepared = prepare(from_table(ExperimentConfig, {"policies": policies, "engine": engine}))
    runner.run(prepared, prepared.cells, to, Steps())
    return [row for cell in prepared.cells for row in read_cell(cell.path(to))]


SMALL = ("--samples", "3", "--extensions", "2", "--answer-tokens", "32", "--limit", str(COUNT))


def without_place(line: dict[str, Any]) -> list[dict[str, Any]]:
    """Its samples, whoever gave them and in whatever order they came."""
    there = {"seconds", "replica"}
    ordered = sorted(line["samples"], key=lambda each: (each["chain"], each["extensions"]))
    return [{k: v for k, v in each.items() if k not in there} for each in ordered]


def test_a_thinkbudget_server_tells_all_that_its_engine_gave(
    tmp_path: Path, server: Server
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    done = collected(there, "simulated", "--url", server.url, *SMALL)
    assert done.exit_code == 0, done.output
    assert collected(here, "simulated", "--engine", "simulated", *SMALL).exit_code == 0
    told = lines_of(there)
    assert len(told) == COUNT
    for line, own in zip(told, lines_of(here), strict=True):
        assert without_place(line) == without_place(own)
        assert [line[k] for k in ("question", "class", "reference", "answer", "correct")] == [
            own[k] for k in ("question", "class", "reference", "answer", "correct")
        ]
    assert not server.curves.sizes("simulated")  # nothing is taught there


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--tokenizer", "x"), "tokenizer: "),
        (("--format", "s1"), "format: "),
        (("--engine", "simulated"), "url and engine exclude each other"),
        (("--model", "other"), "model 'other' does not exist here"),
    ],
)
def test_what_a_thinkbudget_server_has_of_its_own_is_refused(
    tmp_path: Path, server: Server, flags: tuple[str, ...], told: str
) -> None:
    done = collected(tmp_path / "out", "simulated", "--url", server.url, *flags)
    assert done.exit_code == 2
    (line,) = done.output.strip().splitlines()
    assert line.startswith("Error: ") and told in line


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("questions") / "some.jsonl"
    lines = [{"question": f"a={number} a?", "answer": "7"} for number in range(COUNT)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(file)


@pytest.mark.parametrize(("tells_ids", "strict"), [(True, True), (False, True), (False, False)])
def test_a_server_of_text_completions_is_recorded_and_replayed(
    tmp_path: Path, format_: TokenFormat, questions: str, tells_ids: bool, strict: bool
) -> None:
    out, endpoint = tmp_path / "out", CompletionsServer(format_, ids=tells_ids, strict=strict)
    with serving(endpoint) as url:
        done = collected(out, questions, "--url", url, *SMALL)
    assert done.exit_code == 0, done.output
    assert ("gives no token ids" in done.output) is not tells_ids
    # Where it may be asked, a server keeps the tokens in its text that end the thinking.
    kept = [body.get("skip_special_tokens") is False for body in endpoint.asked[3:]]
    assert all(kept) if tells_ids or not strict else not any(kept[3:])
    lines = lines_of(out)
    assert len(lines) == COUNT
    for line in lines:
        alone = [each for each in line["samples"] if each["temperature"] == 0]
        assert [each["extensions"] for each in alone] == list(range(len(alone)))
        assert {each["chain"] for each in line["samples"]} == {0, 1, 2, 3}
        assert all((each["confidence"] is not None) is tells_ids for each in line["samples"])
        assert not any(each["violations"] for each in line["samples"])
        for each in line["samples"]:
            if not each["extensions"]:
                tried = [trial["thinking_tokens"] for trial in each["probes"]]
                powers = [2**power for power in range(4, 10)]
                assert sorted(tried) == [at for at in powers if at <= each["thinking_tokens"]]
    policies = {"votes": {"policy": "majority", "samples": 3}, "alone": {"policy": "fixed"}}
    if tells_ids:
        policies["sure"] = {"policy": "deepconf", "samples": 3}
    rows = replayed(out, tmp_path / "replay", **policies)
    assert len(rows) == COUNT * len(policies)
    assert [row["error"] for row in rows] == [None] * len(rows)


REQUESTS = [
    SampleRequest("q", (("user", "a=3 a?"),), (0, 1), budget, probing=probing, signals=signals)
    for budget in (Budget(400), Budget(50), Budget(300, 80, 3, answer_tokens=20))
    for probing in (None, Probing(at=(16, 32, 64), waits=True))
    for signals in (None, Signals(window=8))
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda each: f"{each.budget.extensions}")
def test_chains_of_a_server_are_those_of_an_engine_in_this_process(
    format_: TokenFormat, request_: SampleRequest
) -> None:
    async def of(engine: Engine) -> list[Any]:
        events = [event async for event in engine.sample(request_)]
        await engine.close()
        samples = [event for event in events if isinstance(event, Sample)]
        found: list[Any] = [
            (s.chain, s.thinking_ids, s.text, s.answer, s.stop_cause, s.extensions, s.tokens,
             s.discarded_tokens, s.probe_tokens, s.violations, s.confidence)
            for s in samples
        ]  # fmt: skip
        return sorted(found) + sorted(event for event in events if isinstance(event, Probe))

    async def there() -> list[Any]:
        return await of(await completions_engine(CompletionsConfig("completions", url)))

    async def here() -> list[Any]:
        return await of(ChainEngine(toy(format_), format_, ChainOptions("toy", driver="reprompt")))

    with serving(CompletionsServer(format_)) as url:
        assert asyncio.run(there()) == asyncio.run(here())


def test_a_recording_goes_on_where_it_was_stopped(
    tmp_path: Path, format_: TokenFormat, questions: str
) -> None:
    flags = (*SMALL, "--concurrency", "1")
    whole = CompletionsServer(format_)
    with serving(whole) as url:
        assert collected(tmp_path / "whole", questions, "--url", url, *flags).exit_code == 0
    endpoint = CompletionsServer(format_, left=len(whole.asked) // 2)
    with serving(endpoint) as url:
        done = collected(tmp_path / "out", questions, "--url", url, *flags)
        assert done.exit_code == 2
        last = done.output.strip().splitlines()[-1]
        assert last.startswith("Error: who are you?; what is done is kept")
        (log,) = (tmp_path / "out" / "outcomes").glob("*.jsonl")
        before = log.read_text()
        assert 0 < before.count("\n") < COUNT
        endpoint.left = 1 << 30
        assert collected(tmp_path / "out", questions, "--url", url, *flags).exit_code == 0
    assert log.read_text().startswith(before)
    assert [without_place(line) for line in lines_of(tmp_path / "out")] == [
        without_place(line) for line in lines_of(tmp_path / "whole")
    ]


@pytest.mark.parametrize("killed", ["within an outcome", "before a row", "within a row"])
def test_a_recording_that_was_killed_goes_on_with_every_question_once(
    tmp_path: Path, format_: TokenFormat, questions: str, killed: str
) -> None:
    endpoint = CompletionsServer(format_, left=60)
    with serving(endpoint) as url:
        flags = (questions, "--url", url, *SMALL, "--concurrency", "1")
        assert collected(tmp_path, *flags).exit_code == 2
        (log,) = (tmp_path / "outcomes").glob("*.jsonl")
        (rows,) = tmp_path.rglob("*.partial")
        assert 0 < log.read_text().count("\n") < COUNT
        if killed == "within an outcome":
            log.write_text(log.read_text() + log.read_text()[:1000])
        else:
            torn = rows.read_text().splitlines(keepends=True)
            end = torn[-1][:20] if killed == "within a row" else ""
            rows.write_text("".join(torn[:-1]) + end)
        endpoint.left = 1 << 30
        done = collected(tmp_path, *flags)
    assert done.exit_code == 0, done.output
    assert sorted(line["question"] for line in lines_of(tmp_path)) == [
        f"a={number} a?" for number in range(COUNT)
    ]
    assert not [*tmp_path.rglob("*.partial"), *tmp_path.rglob("*.kept")]


def test_a_full_disk_loses_nothing_of_what_is_recorded(
    tmp_path: Path, format_: TokenFormat, questions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    endpoint = CompletionsServer(format_, left=60)
    with serving(endpoint) as url:
        flags = (questions, "--url", url, *SMALL, "--concurrency", "1")
        assert collected(tmp_path, *flags).exit_code == 2
        (rows,) = tmp_path.rglob("*.partial")
        before = rows.read_text()
        endpoint.left = 1 << 30
        monkeypatch.setattr(cell_run, "_write", full)
        monkeypatch.setattr(Path, "write_text", full_after_opening)
        done = collected(tmp_path, *flags)
    assert done.exit_code == 2, done.output
    assert "No space left on device" in done.output.splitlines()[-1]
    assert rows.read_text() == before


def full_after_opening(path: Path, text: str, **_: object) -> int:
    """What a full disk leaves of a file that is written anew: nothing."""
    path.open("w").close()
    raise OSError(28, "No space left on device")


def test_what_a_server_does_not_tell_is_said_and_left_out(
    tmp_path: Path, format_: TokenFormat, questions: str
) -> None:
    with serving(CompletionsServer(format_, logprobs=False)) as url:
        done = collected(tmp_path, questions, "--url", url, *SMALL)
    assert done.exit_code == 0, done.output
    assert done.output.count("gives no log-probabilities") == 1
    samples = [each for line in lines_of(tmp_path) for each in line["samples"]]
    assert {each["confidence"] for each in samples} == {None}
    assert {trial["probability"] for each in samples for trial in each["probes"]} == {0.0}


def test_a_policy_that_needs_confidence_is_refused_by_a_server_without(
    format_: TokenFormat, questions: str, tmp_path: Path
) -> None:
    file = tmp_path / "experiment.toml"
    with serving(CompletionsServer(format_, logprobs=False)) as url:
        file.write_text(
            f'questions = "{questions}"\nengine = {{ kind = "completions", url = "{url}" }}\n'
            'answer_tokens = 32\npolicies = { sure = { policy = "deepconf", samples = 3 } }'
        )
        command = ["experiment", "run", str(file), "-o", str(tmp_path / "out")]
        done = CliRunner().invoke(main, command)
    assert done.exit_code == 2
    assert f"Error: {url} gives no log-probabilities" in done.output.splitlines()[-1]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--api-key", "tb-wrong"), "who are you?"),
        (("--api-key", KEY, "--model", "other"), "model 'other' does not exist here"),
        (("--api-key", KEY, "--tokenizer", "/nowhere"), "no tokenizer of '/nowhere'"),
        (("--api-key", KEY, "--format", "s2"), "format 's2' is not known"),
    ],
)
def test_what_a_server_refuses_ends_the_command_with_one_line(
    tmp_path: Path, format_: TokenFormat, questions: str, flags: tuple[str, ...], told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("OPENAI_API_KEY", "")
    with serving(CompletionsServer(format_, key=KEY)) as url:
        done = collected(tmp_path / "out", questions, "--url", url, *flags)
        assert done.exit_code == 2
        (line,) = done.output.strip().splitlines()
        assert line.startswith("Error: ") and told in line
        assert not (tmp_path / "out").exists()


NOT_IDS, NO_SCORES = "has no token ids now", "has no log-probabilities now"


@pytest.mark.parametrize(
    ("part", "value", "told"),
    [
        ("text", None, "is no text completion"),
        ("text", 5, "is no text completion"),
        ("token_ids", ["a"], NOT_IDS),
        ("token_ids", [-1], NOT_IDS),
        ("token_ids", [1 << 40], NOT_IDS),
        ("token_ids", [1.5], NOT_IDS),
        ("token_ids", [7] * 1000, "has 1000 tokens, where max_tokens is "),
        ("logprobs", {"token_logprobs": [-1.0] * 500, "top_logprobs": [{}] * 500}, NO_SCORES),
        *(
            ("logprobs", {"token_logprobs": [bad] * 500, "top_logprobs": [{"7": -1.0}] * 500},
             NO_SCORES)
            for bad in (None, "-1", float("nan"), 1e4)
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("tells_ids", [True, False])
def test_a_reply_that_cannot_be_ends_the_command_with_one_line(
    tmp_path: Path, format_: TokenFormat, questions: str, part: str, value: object, told: str,
    tells_ids: bool,
) -> None:  # fmt: skip
    if part != "text" and not tells_ids:
        return
    endpoint = CompletionsServer(format_, ids=tells_ids)

    def answer(request: HttpRequest) -> HttpReply:
        reply = endpoint(request)
        if len(endpoint.asked) > 6 and reply.status == 200:
            reply.body["choices"][0][part] = value
        return reply

    with serving(answer) as url:
        done = collected(tmp_path, questions, "--url", url, *SMALL)
    assert done.exit_code == 2, done.output
    last = done.output.strip().splitlines()[-1]
    assert last.startswith("Error: ") and told in last


def test_a_key_is_sent_and_written_nowhere(
    tmp_path: Path, format_: TokenFormat, questions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "")
    with serving(CompletionsServer(format_, key=KEY)) as url:
        done = collected(tmp_path / "out", questions, "--url", url, "--api-key", KEY, *SMALL)
    assert done.exit_code == 0, done.output
    texts = [path.read_text() for path in (tmp_path / "out").rglob("*.json*") if path.is_file()]
    assert texts and not any(KEY in text for text in texts)
