"""An engine by its settings. Heavy imports happen only for the engine that is asked for."""

from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from scheduler.config import EngineConfig
from workers.engine import Engine

if TYPE_CHECKING:
    from workers.simulated.law import Law
    from workers.vllm.setup import VllmOptions


def make_engine(
    config: EngineConfig, *, replica: str = "", laws: "Mapping[str, Law] | None" = None
) -> Engine:
    """Starts it in this process; must be called where an event loop runs.

    `laws` are of a simulated population by class; None: the one that ships.
    """
    if config.kind == "simulated":
        from workers.simulated.engine import SimulatedEngine

        return SimulatedEngine(
            seed=config.seed,
            slots=config.max_num_seqs,
            max_model_len=config.max_model_len or 4096,
            model=config.model,
            replica=replica or "simulated",
            laws=laws,
        )
    if config.kind == "replayed":
        from workers.replayed import ReplayedEngine

        assert config.recording is not None
        return ReplayedEngine.read(Path(config.recording))
    from workers.vllm.engine import VllmEngine

    return VllmEngine(
        _vllm_options(config), format_=config.format, driver=config.driver, replica=replica
    )


def _vllm_options(config: EngineConfig) -> "VllmOptions":
    from workers.vllm.setup import VllmOptions

    return VllmOptions(
        model=config.model,
        max_model_len=config.max_model_len,
        max_num_seqs=config.max_num_seqs,
        tensor_parallel_size=config.tensor_parallel_size,
        kv_cache_gib=config.kv_cache_gib,
        watchdog_seconds=config.watchdog_seconds,
        arguments=config.vllm,
    )


def check(config: EngineConfig) -> None:
    """Refuse settings that no engine could start with, before anything is started."""
    if config.kind == "replayed" and not Path(config.recording or "").is_file():
        raise ValueError(f"recording {config.recording!r}: there is no such file")
    if config.kind == "simulated" and config.recording is not None:
        raise ValueError(
            f"recording {config.recording!r}: only experiments fit a simulated engine to one"
        )
    if config.kind == "vllm":
        from workers.format import ThinkingFormat, named_format
        from workers.models import locate, thinking_format
        from workers.vocabulary import check_format

        model, format_ = locate(config.model), config.format
        if not isinstance(format_, ThinkingFormat):
            format_ = named_format(format_) if format_ else thinking_format(config.model)
        check_format(format_, model, config.vllm)


def check_by_vllm(config: EngineConfig, *, whole: bool) -> None:
    """Have vLLM itself check the arguments that are meant for it. Raises ValueError.

    In a process of its own, since vLLM takes long to import and keeps much memory. `whole` is
    whether this machine has the hardware of the engines. Without vLLM here, nothing is checked.
    """
    if config.kind != "vllm" or not config.vllm or find_spec("vllm") is None:
        return
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        process.submit(_check_by_vllm, config, whole).result()


def _check_by_vllm(config: EngineConfig, whole: bool) -> None:
    from workers.models import locate

    options = _vllm_options(replace(config, model=locate(config.model)))
    try:
        options.check(whole=whole)
    except ValueError as error:
        # Those of pydantic cannot be pickled, and are long.
        why = error.errors()[0]["msg"] if hasattr(error, "errors") else error
        raise ValueError(f"engine: {why}") from None
