"""What can go wrong with a request, told so that the caller can mend it.

RequestError            answered with `status` and an OpenAI error object
  InvalidRequest        400  a field of the request is wrong; names it
  UnknownModel          404  no such model
  TooLarge              413  the body is over the limit
  Overloaded            503  no engine can take the request now
  DeadlineExceeded      504  the query's deadline came before any answer
"""


class RequestError(Exception):
    status = 500
    kind = "server_error"

    def __init__(self, message: str, *, field: str | None = None, code: str) -> None:
        super().__init__(message)
        self.message, self.field, self.code = message, field, code

    def as_dict(self) -> dict[str, object]:
        """The OpenAI error object."""
        error = {
            "message": self.message[:1000],
            "type": self.kind,
            "param": self.field,
            "code": self.code,
        }
        return {"error": error}


class InvalidRequest(RequestError):
    status, kind = 400, "invalid_request_error"

    def __init__(self, message: str, *, field: str | None, code: str = "invalid_value") -> None:
        super().__init__(message, field=field, code=code)


class UnknownModel(RequestError):
    status, kind = 404, "invalid_request_error"

    def __init__(self, model: str, known: str) -> None:
        message = f"model {model!r} does not exist here; this endpoint serves {known!r}"
        super().__init__(message, field="model", code="model_not_found")


class Overloaded(RequestError):
    status = 503

    def __init__(self, message: str) -> None:
        super().__init__(message, code="engine_unavailable")


class TooLarge(InvalidRequest):
    status = 413

    def __init__(self, message: str) -> None:
        super().__init__(message, field=None, code="request_too_large")


class DeadlineExceeded(RequestError):
    status = 504

    def __init__(self, seconds: float | None) -> None:
        message = f"no chain finished within deadline_seconds ({seconds})"
        super().__init__(message, field="thinkbudget.deadline_seconds", code="deadline_exceeded")
