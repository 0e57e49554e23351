"""How many tokens a query gets: policies by name, and the curves that `priced` learns from."""

from dataclasses import is_dataclass
from difflib import get_close_matches
from typing import Any, get_args, get_type_hints

from policies.adaptive_consistency import AdaptiveConsistency
from policies.base import Policy, option_names
from policies.bayesian_stopping import BayesianStopping
from policies.best_of_n import BestOfN
from policies.blend import Blend
from policies.certified import Certified
from policies.collect import Collect
from policies.conditional import ClassConditional, StepConditional, TokenConditional
from policies.deepconf import DeepConf, DeepConfOnline
from policies.deer import Deer
from policies.difficulty import DifficultyKnapsack
from policies.dynasor import Dynasor
from policies.early_stopping import EarlyStopping
from policies.fixed import Fixed
from policies.majority import Majority
from policies.ppr import PriorPosteriorRatio
from policies.priced import Priced
from policies.rebase import Rebase
from policies.rejection import RejectionSampling

POLICIES: dict[str, type[Policy]] = {
    "fixed": Fixed,
    "majority": Majority,
    "adaptive_consistency": AdaptiveConsistency,
    "early_stopping": EarlyStopping,
    "ppr": PriorPosteriorRatio,
    "blend": Blend,
    "bayesian_stopping": BayesianStopping,
    "difficulty_knapsack": DifficultyKnapsack,
    "certified": Certified,
    "dynasor": Dynasor,
    "deer": Deer,
    "deepconf": DeepConf,
    "deepconf_online": DeepConfOnline,
    "token_conditional": TokenConditional,
    "step_conditional": StepConditional,
    "class_conditional": ClassConditional,
    "rejection_sampling": RejectionSampling,
    "best_of_n": BestOfN,
    "rebase": Rebase,
    "collect": Collect,
    "priced": Priced,
}
"""Each is a dataclass: its fields are the policy's options."""


def build(name: str, /, **options: object) -> Policy:
    """A policy by name. Raises ValueError that names what is wrong and the nearest right name."""
    if name not in POLICIES:
        near = get_close_matches(name, POLICIES, n=1, cutoff=0.4)
        advice = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"unknown policy {name!r}; {advice}There are {', '.join(POLICIES)}")
    _check_options(POLICIES[name], name, options)
    return POLICIES[name](**options)


def rebuild(policy: Policy, /, **options: object) -> Policy:
    """The same policy with other options, be it one of ours or not. Raises ValueError as `build`.

    The fields of a dataclass are checked here; any other class checks in its own `with_options`.
    """
    if is_dataclass(policy):
        _check_options(type(policy), policy.name, options)
    return policy.with_options(**options)


def options_of(policy: Policy) -> dict[str, Any]:
    """The options of a policy by name; a policy that is no dataclass has none."""
    if not is_dataclass(policy):
        return {}
    return {option: getattr(policy, option) for option in option_names(policy)}


def _check_options(policy: type[Policy], name: str, options: dict[str, object]) -> None:
    kinds, known = get_type_hints(policy), option_names(policy)
    for option, value in options.items():
        if option not in known:
            raise ValueError(f"{name} has no option {option!r}{_nearest(option, known)}")
        _check_kind(option, value, kinds[option])


def _check_kind(option: str, value: object, kind: object) -> None:
    kinds = get_args(kind) or (kind,)
    if value is None and type(None) in kinds:
        return
    if bool in kinds:
        if not isinstance(value, bool):
            raise ValueError(f"{option} must be true or false, got {value!r}")
        return
    if str in kinds or isinstance(kinds[0], str):
        if not isinstance(value, str) or not (str in kinds or value in kinds):
            wanted = "a text" if str in kinds else " or ".join(map(repr, kinds))
            raise ValueError(f"{option} must be {wanted}, got {value!r}")
        return
    numbers = (int, float) if float in kinds else (int,)
    if isinstance(value, bool) or not isinstance(value, numbers):
        wanted = "a number" if float in kinds else "a whole number"
        raise ValueError(f"{option} must be {wanted}, got {value!r}")


def _nearest(word: str, known: list[str]) -> str:
    near = get_close_matches(word, known, n=1, cutoff=0.4)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; there are {', '.join(known)}" if known else ""
