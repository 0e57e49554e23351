"""The endpoint on Ray Serve. What this process's Ray reads when it is imported is set here."""

import os

# A message costs less by gRPC than by Ray's own calls (docs/serving.md). Controllers call engines
# in the way of the process that deploys them.
os.environ.setdefault("RAY_SERVE_USE_GRPC_BY_DEFAULT", "1")
