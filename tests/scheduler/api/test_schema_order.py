"""What callers send for the model to fill in keeps its order, on all its way to the engine."""

from typing import Any

from policies.plan import Budget
from policies.sampling import SamplingParams
from scheduler.api.chat import prepare
from tests.scheduler.simulation import chat, make_controller
from workers.answers.answer_shape import shape_of
from workers.engine import SampleRequest

PROPERTIES = {"steps": {"type": "integer"}, "answer": {"type": "integer"}}
SCHEMA = {"type": "object", "properties": PROPERTIES, "required": ["steps", "answer"]}


async def schema_of(**fields: Any) -> str:
    sampling: SamplingParams = prepare(await make_controller(), chat(**fields)).query.sampling
    asked = SampleRequest("q", (("user", "x"),), (0,), Budget(10), sampling)
    schema = shape_of(asked).schema
    assert schema is not None
    return schema


async def test_a_schemas_properties_keep_their_order() -> None:
    format_ = {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}}
    schema = await schema_of(response_format=format_)
    assert schema.index('"steps"') < schema.index('"answer"')


async def test_a_forced_calls_name_comes_first_and_its_arguments_keep_their_order() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
    schema = await schema_of(tools=[tool], tool_choice="required")
    assert schema.index('"name"') < schema.index('"arguments"')
    assert schema.index('"steps"') < schema.index('"answer"')
