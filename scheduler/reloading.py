"""What a running server takes over of new settings, and what only a restart brings. Pure."""

from dataclasses import fields, replace
from typing import NamedTuple

from scheduler.config import ModelConfig, ServeConfig
from scheduler.engines.adapters import with_adapters

LIVE = frozenset(
    {
        "access", "answer_tokens", "answers", "classes", "feedback", "limits", "log_level",
        "outcomes", "outcomes_files", "outcomes_mib", "policy", "price", "rollout", "routes",
        "shadow", "verifier",
    }
)  # fmt: skip
"""Settings that a running server takes over; all others are those of processes that run."""


class ReloadPlan(NamedTuple):
    """`settings` hold from now on: the new ones, but for those that need a restart.

    `changed` are the settings that a reload changes, `restart` those that it cannot, by their keys.
    """

    settings: ServeConfig
    changed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, list[str]]:
        return {
            "changed": list(self.changed),
            "models_added": list(self.added),
            "models_removed": list(self.removed),
            "restart_needed": list(self.restart),
        }


def plan_reload(old: ServeConfig, new: ServeConfig) -> ReloadPlan:
    """What becomes of a server with `old` settings that is to have `new` ones."""
    changed, restart = _differing(old, new)
    if bool(old.models) != bool(new.models):
        # The engines of a single model belong to the server, those of several to their models.
        kept = {each: getattr(old, each) for each in (*restart, "models")}
        return ReloadPlan(replace(new, **kept), changed, restart=(*restart, "models"))
    if old.access.keys is not None and new.access.keys is None:
        # Nobody is let in without a key because of a line that is missing.
        changed, restart = _moved(changed, restart, "access")
    settings = replace(new, **{each: getattr(old, each) for each in restart})
    models = {}
    for name, model in new.models.items():
        if (was := old.models.get(name)) is None:
            models[name] = model
            continue
        own, needs = _differing(was, model)
        if "adapters" in own and not _have_room(was, model):
            own, needs = _moved(own, needs, "adapters")
        models[name] = replace(model, **{each: getattr(was, each) for each in needs})
        changed += tuple(f"models.{name}.{each}" for each in own)
        restart += tuple(f"models.{name}.{each}" for each in needs)
    return ReloadPlan(
        replace(settings, models=models),
        changed,
        added=tuple(name for name in new.models if name not in old.models),
        removed=tuple(name for name in old.models if name not in new.models),
        restart=restart,
    )


def _differing(
    old: ServeConfig | ModelConfig, new: ServeConfig | ModelConfig
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The settings that differ: those that can change while the server runs, and the others."""
    names = [each.name for each in fields(old) if each.name != "models"]
    differing = [name for name in names if getattr(old, name) != getattr(new, name)]
    live = LIVE | {"adapters"}
    return (
        tuple(name for name in differing if name in live),
        tuple(name for name in differing if name not in live),
    )


def _moved(
    changed: tuple[str, ...], restart: tuple[str, ...], name: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(each for each in changed if each != name), (*restart, name)


def _have_room(old: ModelConfig, new: ModelConfig) -> bool:
    """Whether the engines, which were started for the old adapters, can run the new ones."""
    if old.engine.kind != "vllm" or not new.adapters:
        return True
    room = with_adapters(old.engine, old.adapters).vllm
    needed = with_adapters(old.engine, new.adapters).vllm
    has_room = bool(room.get("enable_lora", False))
    return has_room and room.get("max_lora_rank", 16) >= needed["max_lora_rank"]
