"""What a vLLM core says of itself at every step."""

from typing import Any

from vllm.v1.metrics.loggers import StatLoggerBase


class Statistics(StatLoggerBase):  # type: ignore[misc]
    """Given to vLLM as the factory of its stat logger: it calls us, and gets us back."""

    def __init__(self) -> None:
        self.preemptions = 0
        self.running = 0
        self.kv_usage = 0.0

    def __call__(self, config: Any, engine_index: int = 0) -> "Statistics":
        return self

    def record(
        self,
        scheduler_stats: Any,
        iteration_stats: Any,
        mm_cache_stats: Any = None,
        engine_idx: int = 0,
    ) -> None:
        if scheduler_stats is not None:
            self.running = scheduler_stats.num_running_reqs
            self.kv_usage = scheduler_stats.kv_cache_usage
        if iteration_stats is not None:
            self.preemptions += iteration_stats.num_preempted_reqs

    def log_engine_initialized(self) -> None:
        """Nothing to say."""
