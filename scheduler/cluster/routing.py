"""Which engine replica a call goes to. A part of the coat of Ray Serve; imports ray."""

import random

from ray.serve.request_router import PendingRequest, RequestRouter, RunningReplica

from workers.engine import SampleRequest


class HomeRouter(RequestRouter):  # type: ignore[misc]
    """A chain that goes on is sent home, to the replica that holds its KV cache, while it has room;
    everything else to the less busy of two replicas. Elsewhere the chain's tokens are prefilled
    anew, and the same tokens come of it.
    """

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        two = random.sample(candidate_replicas, min(2, len(candidate_replicas)))
        home = _home(pending_request)
        kept = [replica for replica in candidate_replicas if replica.replica_id.unique_id == home]
        return [kept, two] if kept else [two]


def _home(pending: PendingRequest | None) -> str | None:
    request = pending.args[0] if pending is not None and pending.args else None
    if not isinstance(request, SampleRequest) or request.resume is None:
        return None
    return request.resume.replica
