"""An engine by its settings. Heavy imports happen only for the engine that is asked for."""

from pathlib import Path

from scheduler.config import EngineConfig
from workers.engine import Engine


def make_engine(config: EngineConfig, *, replica: str = "") -> Engine:
    """Starts it in this process; must be called where an event loop runs."""
    if config.kind == "simulated":
        from workers.simulated.engine import SimulatedEngine

        return SimulatedEngine(
            seed=config.seed,
            slots=config.max_num_seqs,
            max_model_len=config.max_model_len or 4096,
            model=config.model,
            replica=replica or "simulated",
        )
    if config.kind == "replayed":
        from workers.replayed import ReplayedEngine

        assert config.recording is not None
        return ReplayedEngine.read(Path(config.recording))
    from workers.vllm.engine import VllmEngine
    from workers.vllm.setup import VllmOptions

    return VllmEngine(
        VllmOptions(
            model=config.model,
            max_model_len=config.max_model_len,
            max_num_seqs=config.max_num_seqs,
            tensor_parallel_size=config.tensor_parallel_size,
            kv_cache_gib=config.kv_cache_gib,
            watchdog_seconds=config.watchdog_seconds,
        ),
        format_=config.format,
        driver=config.driver,
        replica=replica,
    )


def check(config: EngineConfig) -> None:
    """Refuse settings that no engine could start with, before anything is started."""
    if config.kind == "replayed" and not Path(config.recording or "").is_file():
        raise ValueError(f"recording {config.recording!r}: there is no such file")
    if config.kind == "vllm":
        from workers.format import ThinkingFormat, named_format
        from workers.models import default_format, locate

        locate(config.model)
        if not isinstance(config.format, ThinkingFormat):
            named_format(config.format or default_format(config.model))
