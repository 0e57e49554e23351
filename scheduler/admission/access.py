"""Who may reach the endpoint, and who a request comes from."""

import ipaddress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as settings

from scheduler.admission.limits import KeyLimits
from scheduler.settings import STRICT

Role = Literal["inference", "batch", "metrics", "viewer", "admin"]
ANY = "*"
TOKENIZER = ("/tokenize", "/detokenize", "/tokenizer_info")
"""Paths that vLLM has outside of /v1."""
OPENAPI = "/openapi.json"
"""What requests may contain; it is the same on every server."""
PAGE_STATE = "/ui/state"
"""What the live page shows; its files are open, and hold nothing of the server."""


@settings(frozen=True, slots=True, config=STRICT)
class AccessConfig:
    """Who may reach the endpoint.

    A browser can be led to any address, but not to a name that its page does not have: so requests
    must name localhost, an IP address, the bound host or one of `allowed_hosts` as their host. With
    keys only `allowed_hosts` is enforced, where it is set.
    """

    keys: str | None = Field(
        default=None,
        description="File of API keys. Default: everybody who reaches the port may do all.",
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=(),
        strict=False,
        description='Names that requests may give as their host; "*": any.',
    )
    insecure_no_auth: bool = Field(default=False, description="Serve a network without any keys.")
    allow_raw_prompts: bool = Field(
        default=True,
        description="Open /v1/completions, where control strings of the prompt are control tokens.",
    )

    def __post_init__(self) -> None:
        for name in self.allowed_hosts:
            if name != ANY and host_name(name) != name:
                raise ValueError(f"allowed_hosts has {name!r}; a name has no port and no capitals")
        if self.keys is not None and self.insecure_no_auth:
            raise ValueError("insecure_no_auth and keys exclude each other")

    def require(self, host: str) -> None:
        """Refuse to be open to a network by mistake."""
        if not (is_loopback(host) or self.keys is not None or self.insecure_no_auth):
            raise ValueError(
                f"host {host!r} can be reached from other machines, and no keys are asked for: "
                "name a file of keys with --keys, or say --insecure-no-auth"
            )

    def warning(self, host: str) -> str | None:
        """What has to be said at each start."""
        if not self.insecure_no_auth or is_loopback(host):
            return None
        return f"anybody who can reach {host} may use this endpoint: no keys are asked for"

    def allows(self, host: str, bound: str) -> bool:
        """Whether a request may name this host, port and all, when the server is bound to one."""
        if ANY in self.allowed_hosts or (self.keys is not None and not self.allowed_hosts):
            return True
        name = host_name(host)
        return _address(name) is not None or name in ("localhost", bound, *self.allowed_hosts)


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose request it is: a key's name, its role and limits; nameless where there are no keys.

    `cache_salt` keeps the cached prefixes of one key apart from those of the others. `priority`
    allows it that tier; keys of role batch are served in tier flex, whatever they ask for. Those of
    role metrics may read the metrics and nothing else, those of role viewer the live page too.
    """

    name: str = ""
    role: Role = "admin"
    limits: KeyLimits = field(default_factory=KeyLimits)
    cache_salt: str = ""
    priority: bool = True

    def may(self, path: str) -> bool:
        """Whether its role lets it use a path: what is not named here is for administrators."""
        if self.role in ("admin", "metrics", "viewer"):
            shown = ("/metrics", PAGE_STATE) if self.role == "viewer" else ("/metrics",)
            return self.role == "admin" or path in shown
        is_inference = path.startswith("/v1/") and not path.startswith("/v1/thinkbudget/")
        return is_inference or path in TOKENIZER or path == OPENAPI

    def urgency(self, priority: int) -> int:
        """The priority that it gets when it asks for one; the lower, the sooner."""
        least = 1 if self.role == "batch" else 0 if not self.priority else priority
        return max(least, priority)


# As in scheduler/solving/trace.py: it reaches whatever is done on the request's behalf.
CALLER: ContextVar[Caller] = ContextVar("caller", default=Caller())  # noqa: B039


def host_name(host: str) -> str:
    """The name or address of a Host header, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower() if host.count(":") < 2 else host


def is_loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
