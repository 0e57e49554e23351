"""What one gateway serves: its models by name. A reload changes it while requests run.

A request keeps the controller that it began with: one that a reload takes away finishes what it
has.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from scheduler.admission.access import AccessConfig
from scheduler.admission.limits import LimitsConfig
from scheduler.api import chat
from scheduler.api.model_routes import cascade, choose, class_of
from scheduler.errors import UnknownModel
from scheduler.solving.controller import Controller
from scheduler.solving.metrics import Metrics
from scheduler.solving.trace import TRACE, Trace


@dataclass(slots=True)
class Endpoint:
    """`models` has at least one. One that is the `only` one checks the names of requests itself."""

    models: dict[str, Controller]
    access: AccessConfig
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    only: Controller | None = None
    #: Names that stand for several models, from small to large.
    routes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, only: Controller, access: AccessConfig, limits: LimitsConfig | None = None) -> Self:
        """One model, by the name that its engine gives it."""
        return cls({only.info.model: only}, access, limits or LimitsConfig(), only)

    @property
    def first(self) -> Controller:
        """The controller for what names no model."""
        return self.only or next(iter(self.models.values()))

    def routed(self, body: object) -> object:
        """The body, with the model that was chosen where it names a route."""
        if not isinstance(body, dict) or (route := self.route_of(body)) is None:
            return body
        return body | {"model": choose(self.models, route, class_of(body))}

    def route_of(self, body: object) -> tuple[str, ...] | None:
        """The models of the route that a body names."""
        name = body.get("model") if isinstance(body, dict) else None
        return self.routes.get(name) if isinstance(name, str) else None

    def serving(self, body: object) -> Controller:
        """The controller of the model that a request's body names. Raises UnknownModel."""
        name = body.get("model") if isinstance(body, dict) else None
        # What is no name is refused where the body is read.
        found = self.named(name) if isinstance(name, str) else self.first
        TRACE.get(Trace()).model = found.info.model
        return found

    def named(self, name: str) -> Controller:
        """The controller of a model, adapter or alias of one. Raises UnknownModel."""
        if self.only is not None:
            return self.only
        for known in (name, name.rpartition("@")[0]):
            short = [each for each in self.models if each.rsplit("/", 1)[-1] == known]
            if known in self.models or len(short) == 1:
                return self.models[known if known in self.models else short[0]]
        raise UnknownModel(name, ", ".join((*self.models, *self.routes)))

    def metrics_of(self, model: str) -> Metrics:
        """Where requests of a model count; those of a model that is not there, with the first."""
        return self.models.get(model, self.first).metrics

    async def complete(self, body: object) -> dict[str, Any]:
        """A whole chat completion by the model or route that it names; raises RequestError."""
        if isinstance(body, dict) and (route := self.route_of(body)):
            return await cascade(self.models, route, body)
        return await chat.complete(self.serving(body), body)

    @property
    def labels(self) -> Mapping[str, Controller]:
        """The models by the label of their metrics; a single one has none."""
        return {} if self.only is not None else self.models


class Administration(Protocol):
    """What administrators ask of a running server. Raises ValueError for what cannot be done."""

    async def reload(self) -> dict[str, Any]: ...

    async def restart(self, model: str | None) -> dict[str, Any]: ...
