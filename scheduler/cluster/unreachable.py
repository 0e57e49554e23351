"""How a call of Serve fails that its replica does not answer. Imports ray."""

import grpc
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

# Which of them it is depends on what carries the call, Ray or gRPC, and on how the replica ended.
UNREACHABLE = (RayError, RayServeException, grpc.RpcError)
