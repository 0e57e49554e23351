"""Ray's own server of language models (ray.serve.llm) with the embedded model, to compare with.

python -m benchmarks.serving.ray_llm PORT
"""

import os
import signal
import sys
import threading
from contextlib import suppress

import ray
from ray import serve
from ray.serve.llm import LLMConfig, build_openai_app

from workers.models import POCKET, POCKET_FOLDER


def main(port: int) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")
    ray.init(
        address="local",
        num_cpus=max(4, os.cpu_count() or 2),
        include_dashboard=False,
        object_store_memory=200 << 20,
        log_to_driver=False,
    )
    config = LLMConfig(
        model_loading_config={"model_id": POCKET, "model_source": str(POCKET_FOLDER)},
        accelerator_config={"kind": "cpu"},
        placement_group_config={"bundles": [{"CPU": 1}]},
        deployment_config={"num_replicas": 1},
        engine_kwargs={
            "dtype": "float32",
            "enforce_eager": True,
            "max_num_seqs": 64,
            "kv_cache_memory_bytes": 1 << 30,
        },
    )
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(build_openai_app({"llm_configs": [config]}), name="llm", route_prefix="/")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    with suppress(KeyboardInterrupt):
        threading.Event().wait()
    ray.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]))
