"""Adapts scheduler/engines/routing.py, which chooses an engine replica, to Ray Serve.

Serve loads this file by value, into every process that calls the engines.
"""

from dataclasses import replace
from typing import Any
from uuid import uuid4

from ray.serve.request_router import PendingRequest, ReplicaID, RequestRouter, RunningReplica

from scheduler.engines.routing import (
    PendingWork,
    RoutingConstraints,
    RoutingTable,
    TargetReplica,
    expected,
)
from workers.completion import CompletionRequest
from workers.engine import SampleRequest


class TokenRouter(RequestRouter):  # type: ignore[misc]
    """Sends a query's chains where their prefix is cached while there is room (session affinity),
    and every other call to the replica that owes the fewest tokens, of a few drawn ones where there
    are many.

    Elsewhere the prefix is computed again, and the same tokens come of it. A call counts until
    Serve reports it completed: `EngineReplica.sample` stays open while its chains run.
    """

    def initialize_state(self, slots: int) -> None:
        self._routes = RoutingTable(slots)
        self._listed: list[RunningReplica] = []
        self._named: dict[str, RunningReplica] = {}

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        if candidate_replicas is not self._listed:  # Serve makes another list when they change
            self._listed = candidate_replicas
            self._named = {replica.replica_id.unique_id: replica for replica in candidate_replicas}
        named, constraints = self._named, _constraints(pending_request)
        ranked = self._routes.rank(list(named), constraints)
        if pending_request is not None and ranked:
            # Counted before it is sent: what comes in the same moment must see it.
            self._routes.send(_call(pending_request), ranked[0], constraints.owed)
            pending_request.future.add_done_callback(lambda _: self._chosen(pending_request))
        return [[named[name]] for name in ranked]

    async def _choose_replica_for_request(
        self, pending_request: PendingRequest, *, is_retry: bool = False
    ) -> RunningReplica:
        # All calls of one HTTP request carry its internal id, and Serve 2.60 finds pending calls by
        # it: of two at once, one would never be sent. So every call gets an id of its own.
        pending_request.metadata = replace(
            pending_request.metadata, internal_request_id=uuid4().hex
        )
        return await super()._choose_replica_for_request(pending_request, is_retry=is_retry)

    def _chosen(self, pending: PendingRequest) -> None:
        if pending.future.cancelled():
            self._routes.end(_call(pending))
        else:
            name = pending.future.result().replica_id.unique_id
            self._routes.send(_call(pending), name, _constraints(pending).owed)

    def on_request_routed(
        self, pending_request: PendingRequest, replica_id: ReplicaID, result: Any
    ) -> None:
        self._routes.take(_call(pending_request))

    def on_request_completed(self, replica_id: ReplicaID, internal_request_id: str) -> None:
        self._routes.end(internal_request_id)

    def update_replicas(self, replicas: list[RunningReplica]) -> None:
        super().update_replicas(replicas)
        self._routes.keep({replica.replica_id.unique_id for replica in replicas})
        for replica in replicas:
            if stats := replica.routing_stats:
                owed = PendingWork(stats["tokens"], stats["chains"])
                self._routes.report(replica.replica_id.unique_id, owed, stats["version"])


def _call(pending: PendingRequest) -> str:
    name: str = pending.metadata.internal_request_id
    return name


def _constraints(pending: PendingRequest | None) -> RoutingConstraints:
    """From the arguments of `EngineReplica.sample`, `complete` or `stream`."""
    args = dict(
        zip(("request", "affinity", "avoid"), pending.args if pending else (), strict=False)
    )
    request, affinity = args.get("request"), args.get("affinity")
    if isinstance(request, TargetReplica):
        return RoutingConstraints(only=request.replica, or_any=request.or_any)
    if not isinstance(request, SampleRequest | CompletionRequest):
        return RoutingConstraints()
    if affinity is None and isinstance(request, SampleRequest):
        affinity = request.affinity
    return RoutingConstraints(expected(request), affinity, args.get("avoid") or ())
