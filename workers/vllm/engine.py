"""Chains out of a real vLLM engine: the core, the model's format, and the driver joined."""

import logging
from dataclasses import replace
from typing import Any

from workers.drivers.chain_engine import ChainEngine, ChainOptions
from workers.drivers.driver import why_not
from workers.format import ThinkingFormat, bind, named_format
from workers.models import locate, thinking_format
from workers.vllm.core import VllmCore
from workers.vllm.setup import Setup, VllmOptions

log = logging.getLogger(__name__)


class VllmEngine(ChainEngine):
    """Starts vLLM in this process (its core runs in a child).

    `format_` is a format, or the name of one; None is that of the model's folder or name. A
    driver that cannot run the format is replaced by `reprompt`.
    """

    def __init__(
        self,
        options: VllmOptions,
        *,
        format_: ThinkingFormat | str | None = None,
        driver: str = "session",
        replica: str = "",
        stat_loggers: list[Any] | None = None,
    ) -> None:
        strings = named_format(format_) if isinstance(format_, str) else format_
        strings = strings or thinking_format(options.model)
        setup = Setup(replace(options, model=locate(options.model)))
        tokens = bind(strings, setup.tokenizer, setup.end_of_turn)
        reason = why_not(driver, tokens)
        if reason is None and driver == "session" and setup.config.speculative_config is not None:
            # What the core forgets at the end of a call is then not always its last token.
            reason = "speculative decoding changes some of its chains"
        if reason is not None and driver != "reprompt":
            log.warning("driver %r is replaced by 'reprompt': %s", driver, reason)
            driver = "reprompt"
        core = VllmCore(setup, stat_loggers=stat_loggers)
        super().__init__(
            core,
            tokens,
            ChainOptions(
                model=options.model,
                temperature=float(core.recommended.values["temperature"]),
                sampling=str(core.recommended),
                slots=options.max_num_seqs,
                driver=driver,
                replica=replica,
            ),
        )
