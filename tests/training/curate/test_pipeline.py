"""All stages on a small synthetic pool: counts, resume, cost, and what is refused."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scheduler.errors import RequestError
from scheduler.progress import progress
from training.curate import asked_stages, synthetic
from training.curate.asking import Answer, Asker, AskingEnded, Connect, Journal
from training.curate.bulk import InProcess
from training.curate.check import check
from training.curate.connect import connect
from training.curate.manifest import Manifest
from training.curate.parts import PartWriter, part_files, read_column
from training.curate.pipeline import NotReady, Pipeline, steps
from training.curate.rows import typed
from training.curate.settings import Curation, Endpoint, read_settings
from training.curate.synthetic import SyntheticModel, pool
from workers.models import POCKET_FOLDER

pytestmark = pytest.mark.filterwarnings("default")

FREE = {"prompt_price": 0, "completion_price": 0}
SETS = ("s1", "random", "diverse", "longest", "full")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Two sources, a test set with 3 of the first one's questions, and a file of settings."""
    first = list(pool(200, seed=0))
    for name, rows in (("a", first), ("b", list(pool(100, seed=1)))):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(lines)
    tests = "".join(json.dumps({"problem": row["question"]}) + "\n" for row in first[1:4])
    (tmp_path / "tests.jsonl").write_text(tests)
    free = "prompt_price = 0\ncompletion_price = 0"
    text = f"""
out = "out"
[[sources]]
name = "a"
path = "a.jsonl"
[[sources]]
name = "b"
path = "b.jsonl"
[[decontaminate.tests]]
name = "MATH500"
path = "tests.jsonl"
[quality]
tokenizer = "{POCKET_FOLDER}"
[traces.teacher]
model = "0.9"
{free}
[classify.classifier]
model = "1"
{free}
[difficulty.models.weak]
model = "0.3"
{free}
[difficulty.models.strong]
model = "0.5"
{free}
[select]
sets = {json.dumps(SETS)}
size = 20
uniform_until = 15
"""
    path = tmp_path / "curation.toml"
    path.write_text(text)
    return path


def run(settings: Curation, connect: Connect = synthetic.connect) -> dict[str, Manifest]:
    """The manifests of the steps that were run; the others were current."""
    pipeline = Pipeline(settings, InProcess(), connect)
    wanted = steps(settings, "all")
    return {step: pipeline.run(step) for step in wanted if not pipeline.is_current(step)}


def test_all_stages_account_for_every_row(config: Path) -> None:
    settings = read_settings(config)
    made = run(settings)
    assert list(made) == steps(settings, "all")
    for manifest in made.values():
        assert manifest.rows_in == manifest.rows_out + sum(manifest.dropped.values())
    assert made["load"].rows_out == 300
    assert made["decontaminate"].dropped["8-gram of a test set"] >= 3
    assert made["quality"].dropped == {"format: [asy]": 6}
    hard = part_files(settings.folder / "difficulty")
    assert all(
        synthetic.luck(question) >= 0.5 for question in read_column(hard, "question")
    )  # what neither model is right on
    for name in ("s1", "random", "diverse", "longest"):
        assert made[f"select-{name}"].rows_out == 20
    assert made["select-full"].rows_out == made["traces"].rows_out
    lengths = read_column(part_files(settings.folder / "quality"), "thinking_tokens")
    chosen = read_column(part_files(settings.folder / "select-longest"), "thinking_tokens")
    assert sorted(chosen) == sorted(lengths)[-20:]


def test_what_is_current_is_not_made_again_and_a_change_is_never_mixed(config: Path) -> None:
    settings = read_settings(config)
    run(settings)
    assert run(settings) == {}
    seeded = replace(settings, select=replace(settings.select, sets=("s1",), seed=1))
    assert set(run(seeded)) == {"select-s1"}
    stricter = replace(settings, dedup=replace(settings.dedup, threshold=1.0))
    pipeline = Pipeline(stricter, InProcess(), synthetic.connect)
    with pytest.raises(NotReady, match="traces needs dedup, which is not current"):
        pipeline.run("traces")
    (settings.folder / "load" / "part-00000.parquet").write_bytes(b"torn")
    assert not Pipeline(settings, InProcess(), synthetic.connect).is_current("quality")


class Failing:
    """An endpoint that is out of reach after so many answers; it counts what it is asked."""

    def __init__(self, after: int) -> None:
        self.left, self.asked = after, 0

    @asynccontextmanager
    async def connect(self, endpoint: Endpoint) -> AsyncIterator[Answer]:
        model = SyntheticModel(float(endpoint.model))

        async def answer(body: dict[str, Any]) -> dict[str, Any]:
            if self.left == 0:
                raise RequestError("out of reach", code="unreachable")
            self.left -= 1
            self.asked += 1
            return await model(body)

        yield answer


def test_an_interrupted_stage_asks_only_what_is_left(config: Path) -> None:
    settings = read_settings(config)
    failing = Failing(after=100)
    with pytest.raises(AskingEnded, match="out of reach"):
        run(settings, failing.connect)
    rest = Failing(after=10_000)
    made = run(settings, rest.connect)
    distinct = made["traces"].rows_in - 100
    assert rest.asked == distinct + made["classify"].rows_in + 2 * made["difficulty"].rows_in


def test_spending_ends_at_its_limit(config: Path) -> None:
    settings = read_settings(config)
    assert settings.traces is not None
    dear = replace(settings.traces.teacher, completion_price=1e4, max_cost=5.0, concurrency=1)
    limited = replace(settings, traces=replace(settings.traces, teacher=dear))
    pipeline = Pipeline(limited, InProcess(), synthetic.connect)
    for step in ("load", "decontaminate", "dedup"):
        manifest = pipeline.run(step)
    cost = pipeline.costs("traces")["teacher"]
    assert cost.requests == manifest.rows_out
    assert cost.completion_tokens == cost.requests * dear.max_tokens
    assert cost.dollars == pytest.approx(cost.completion_tokens * 1e-2)
    with pytest.raises(AskingEnded, match=r"max_cost of 5\.0 dollars is spent"):
        pipeline.run("traces")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "a"\n', 'name = "MAHT"\n', None),
        ('path = "a.jsonl"', 'path = "a.csv"', r"a\.csv' of 'a' must end in"),
        ('path = "a.jsonl"', 'path = "no.jsonl"', r"no\.jsonl' of 'a' is no file"),
        ('path = "a.jsonl"\n', "", "sources.0.name 'a' is none of MATH"),
        ('path = "a.jsonl"', 'path = "a.jsonl"\nquestion = "q"', "no column 'q'"),
        ("size = 20", "size = 0", "select.size must be greater than or equal to 1, got 0"),
        ("size = 20", "sise = 20", "select.sise is not a known key; did you mean 'size'"),
        ('name = "b"', 'name = "a"', "sources.1.name 'a' comes twice"),
        (f'"{POCKET_FOLDER}"', '"/nowhere/at/all"', "tokenizer '/nowhere/at/all'"),
        ('[traces.teacher]\nmodel = "0.9"\nprompt_price = 0', '[traces.teacher]\nmodel = "0.9"',
         "traces.teacher.prompt_price is missing"),
    ],
)  # fmt: skip
def test_check_names_what_is_wrong(config: Path, old: str, new: str, message: str | None) -> None:
    config.write_text(config.read_text().replace(old, new))

    def checked() -> list[str]:
        settings = read_settings(config)
        return check(settings, steps(settings, "all"), synthetic.connect)

    if message is None:  # a name of one's own is fine where there is a path
        assert any(line.startswith("load: MAHT") for line in checked())
        return
    with pytest.raises(ValueError, match=message):
        checked()


def test_check_refuses_a_teacher_that_does_not_think(config: Path) -> None:
    @asynccontextmanager
    async def silent(endpoint: Endpoint) -> AsyncIterator[Answer]:
        async def answer(body: dict[str, Any]) -> dict[str, Any]:
            return synthetic.completion("", "Answer: 42")

        yield answer

    settings = read_settings(config)
    with pytest.raises(ValueError, match=r"traces\.teacher\.model '0\.9'.* returns no thinking"):
        check(settings, ["traces"], silent)


class Slow:
    """A model whose every 64th question takes ten times as long as the others."""

    def __init__(self) -> None:
        self.asked = self.at_once = self.most = 0

    @asynccontextmanager
    async def connect(self, endpoint: Endpoint) -> AsyncIterator[Answer]:
        model = SyntheticModel(float(endpoint.model))

        async def answer(body: dict[str, Any]) -> dict[str, Any]:
            seconds = 10.0 if self.asked % 64 == 0 else 1.0
            self.asked += 1
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            await asyncio.sleep(seconds)
            self.at_once -= 1
            return await model(body)

        yield answer


async def test_a_slow_reply_does_not_hold_up_later_rows(tmp_path: Path) -> None:
    rows = [
        {"key": f"{n:016x}", "question": f"Find {n} * 2 + 3", "source": "a"} for n in range(640)
    ]
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    with PartWriter(tmp_path / "in") as written:
        written.write(typed(rows))
    slow, began = Slow(), asyncio.get_running_loop().time()
    endpoint = Endpoint("0.5", prompt_price=0, completion_price=0, concurrency=16)
    with closing(Journal(tmp_path / "journal.jsonl")) as journal:
        async with slow.connect(endpoint) as answer:
            with PartWriter(tmp_path / "out") as out, progress("traces", 640) as bar:
                asker = Asker(endpoint, answer, journal)
                await asked_stages.traces(part_files(tmp_path / "in"), asker, out, bar)
    assert slow.most == 16
    # 10 slow and 630 other replies, 16 at once; the last slow one may be waited for alone.
    assert asyncio.get_running_loop().time() - began <= (10 * 10 + 630) / 16 + 10
    got = read_column(part_files(tmp_path / "out"), "question")
    assert got == [row["question"] for row in rows]


PROGRAM = """
from scheduler.errors import InvalidRequest

async def answer(body):
    question = body["messages"][-1]["content"]
    if "[asy]" in question:
        raise InvalidRequest("it has a picture", field="messages", code="picture")
    message = {"content": "Answer: 42", "reasoning_content": f"about {question}"}
    return {"choices": [{"message": message, "finish_reason": "stop"}]}

def plain(body):
    return {}
"""


def test_a_program_of_one_s_own_can_be_the_teacher(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_teacher.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(str(tmp_path))
    text = config.read_text().replace('model = "0.9"', 'engine = "python"\nmodel = "NAME"')

    def pipeline(name: str) -> Pipeline:
        config.write_text(text.replace("NAME", name))
        return Pipeline(read_settings(config), InProcess(), connect)

    mine = pipeline("my_teacher:answer")
    assert check(mine.settings, ["traces"], connect) == [
        "traces.teacher: my_teacher:answer at this process answers"
    ]
    for step in ("load", "decontaminate", "dedup"):
        mine.run(step)
    made = mine.run("traces")
    assert made.dropped == {"refused: picture": 6}
    files = part_files(mine.folder("traces"))
    questions, thinkings = read_column(files, "question"), read_column(files, "thinking")
    assert thinkings == [f"about {question}" for question in questions]
    for name, why in (
        ("my_teacher", 'must be "module:function"'),
        ("no_such_module:answer", "cannot be loaded: No module named 'no_such_module'"),
        ("my_teacher:no", "cannot be loaded: module 'my_teacher' has no attribute 'no'"),
        ("my_teacher:plain", "is no async function"),
    ):
        with pytest.raises(ValueError, match=f"model '{name}'.*{why}"):
            check(pipeline(name).settings, ["traces"], connect)
