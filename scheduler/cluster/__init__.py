"""The endpoint on Ray Serve. What Ray reads when it is imported is set here, before that."""

import os

_SETTINGS = {
    # Replicas never block their loop, so threads of its own for it, and for routing, only cost.
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    # A message costs less by gRPC than by Ray's own calls (docs/serving.md). Controllers call
    # engines as the process says that deploys them.
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
}

for _name, _value in _SETTINGS.items():
    os.environ.setdefault(_name, _value)
