"""What can go wrong with a request, in words that let the caller mend it.

RequestError            answered with `status` and an OpenAI error object
  InvalidRequest        400  a field of the request is wrong; names it
  Unauthenticated       401  no key, or none that is known here
  Forbidden             403  the key, the host or the page may not do this
  UnknownModel          404  no such model
  UnknownObject         404  no such file or batch of this key
  UnknownOutcome        404  no such answer of this key that could be labelled
  UnknownRoute          404  no such path; 405 for a path that has no such method
  UploadTimeout         408  the body did not come in time
  Labelled              409  the answer has another label already
  TooLarge              413  the body is over the limit; 414 and 431 for the path and the headers
  KeyReused             422  an idempotency key was used with another body
  RateLimited           429  a quota is used up, or the queue is full
  PoisonRequest         500  engines have died of the request
  PolicyFailed          500  a policy of the operator's own has failed
  Overloaded            503  no engine can take the request now
  Draining              503  this server is about to stop
  DeadlineExceeded      504  the query's deadline came before any answer
"""

import json

MOST_BYTES = 1000


class RequestError(Exception):
    """`headers` say when to try again, or not to: a client's own retries cost as much again."""

    status = 500
    kind = "server_error"
    headers: dict[str, str] = {}

    def __init__(self, message: str, *, field: str | None = None, code: str) -> None:
        super().__init__(message)
        self.message, self.field, self.code = message, field, code

    def as_dict(self) -> dict[str, object]:
        """The OpenAI error object."""
        error = {
            "message": _beginning(self.message, MOST_BYTES),
            "type": self.kind,
            "param": self.field and _beginning(self.field, MOST_BYTES // 4),
            "code": self.code,
        }
        return {"error": error}


class InvalidRequest(RequestError):
    status, kind = 400, "invalid_request_error"

    def __init__(self, message: str, *, field: str | None, code: str = "invalid_value") -> None:
        super().__init__(message, field=field, code=code)


class Unauthenticated(RequestError):
    """The same for no key, an unknown one and a revoked one."""

    status, kind = 401, "authentication_error"
    headers = {"WWW-Authenticate": "Bearer"}

    def __init__(self) -> None:
        message = "this server asks for a key that it knows: Authorization: Bearer tb-..."
        super().__init__(message, code="invalid_api_key")


class Forbidden(RequestError):
    status, kind = 403, "permission_error"


class UnknownModel(RequestError):
    status, kind = 404, "invalid_request_error"

    def __init__(self, model: str, known: str) -> None:
        message = f"model {model!r} does not exist here; this endpoint serves {known!r}"
        super().__init__(message, field="model", code="model_not_found")


class UnknownObject(RequestError):
    status, kind = 404, "invalid_request_error"

    def __init__(self, what: str, name: str) -> None:
        super().__init__(f"there is no {what} {name!r} of yours here", field="id", code="not_found")


class UnknownRoute(RequestError):
    kind = "invalid_request_error"

    def __init__(self, method: str, path: str, status: int) -> None:
        super().__init__(f"there is no {method} {path}", code="not_found")
        self.status = status


class UnknownOutcome(RequestError):
    status, kind = 404, "invalid_request_error"

    def __init__(self, outcome: str) -> None:
        message = f"there is no answer {outcome!r} of yours here, or not any more"
        super().__init__(message, field="outcome_id", code="outcome_not_found")


class Labelled(RequestError):
    status, kind = 409, "invalid_request_error"
    headers = {"x-should-retry": "false"}

    def __init__(self, outcome: str) -> None:
        message = f"the answer {outcome!r} has another label already; labels are not replaced"
        super().__init__(message, field="reward", code="feedback_conflict")


class KeyReused(InvalidRequest):
    status = 422

    def __init__(self, key: str) -> None:
        message = f"Idempotency-Key {key!r} was used with another body before"
        super().__init__(message, field="Idempotency-Key", code="idempotency_key_reused")


class UploadTimeout(InvalidRequest):
    status = 408
    headers = {"x-should-retry": "false", "Connection": "close"}

    def __init__(self, seconds: float) -> None:
        message = f"the body took longer than {seconds:g} seconds to come"
        super().__init__(message, field=None, code="request_timeout")


class TooLarge(InvalidRequest):
    headers = {"Connection": "close"}

    def __init__(self, message: str, status: int = 413) -> None:
        super().__init__(message, field=None, code="request_too_large")
        self.status = status


class RateLimited(RequestError):
    """`code` is rate_limit_exceeded, insufficient_quota or queue_full."""

    status, kind = 429, "rate_limit_error"

    def __init__(self, message: str, *, code: str, retry_after: int) -> None:
        super().__init__(message, code=code)
        self.headers = {"Retry-After": str(retry_after)}


class PoisonRequest(RequestError):
    headers = {"x-should-retry": "false"}

    def __init__(self, deaths: int) -> None:
        message = f"{deaths} engines have died while they ran this request; it is not tried again"
        super().__init__(message, code="poison_request")


class PolicyFailed(RequestError):
    """`spent` is what the query had cost by then, in tokens."""

    headers = {"x-should-retry": "false"}

    def __init__(self, policy: str, query: str, why: str) -> None:
        super().__init__(f"policy {policy!r}, query {query}: it {why}", code="policy_failed")
        self.spent = 0


class Overloaded(RequestError):
    status = 503
    headers = {"Retry-After": "5"}

    def __init__(self, message: str) -> None:
        super().__init__(message, code="engine_unavailable")


class Draining(RequestError):
    status = 503
    headers = {"Retry-After": "5"}

    def __init__(self) -> None:
        super().__init__("this server is about to stop; another may be there", code="draining")


class DeadlineExceeded(RequestError):
    status = 504
    headers = {"x-should-retry": "false"}

    def __init__(self, seconds: float | None) -> None:
        message = f"no chain finished within deadline_seconds ({seconds})"
        super().__init__(message, field="thinkbudget.deadline_seconds", code="deadline_exceeded")


def _beginning(text: str, most: int) -> str:
    """As much of a text as takes `most` bytes in JSON, however it has to be escaped."""
    text = text.encode(errors="replace").decode()
    if len(json.dumps(text)) <= most:
        return text
    kept = 0
    for at, letter in enumerate(text):
        kept += len(json.dumps(letter)) - 2
        if kept > most - 3:
            return text[:at] + "..."
    return text
