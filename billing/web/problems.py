"""Problems: every refusal as an RFC 9457 document, `application/problem+json`.

`type` is a stable name that programs compare; `detail` is a line for people. A refusal wrote
nothing. An unexpected error says only its request id: the log has the rest.
"""

import traceback
from collections.abc import Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from billing.domain.errors import (
    AlreadyExists,
    BillingError,
    GatewayDeclined,
    GatewayRefused,
    IllegalMove,
    InvalidValue,
    KeyReused,
    NotConfigured,
    NotKnown,
    RefundTooLarge,
    WalletAlreadyLinked,
)
from billing.domain.escaping import escape
from billing.logs import Logger
from billing.store.session import is_locked, is_lost

log = Logger(__name__)

MEDIA_TYPE = "application/problem+json"
_PLAINLY = {
    "extra_forbidden": "this name is not known",
    "string_pattern_mismatch": "it has characters that are not allowed here",
    "model_attributes_type": "it must be a JSON object",
}
"""What pydantic says in its own words, by the kind of its error."""
TITLES = {
    "invalid_request": "The request is not valid",
    "invalid_value": "A value is not accepted",
    "key_reused": "The Idempotency-Key was used with another request",
    "unauthorized": "No valid API key",
    "forbidden": "The API key does not allow this",
    "not_found": "Not found",
    "method_not_allowed": "The method is not allowed here",
    "already_exists": "It exists already",
    "not_possible": "Not possible in this state",
    "in_progress": "Another request is changing the same object",
    "too_large": "The request is too large",
    "unsupported_media_type": "The body must be JSON",
    "too_many_requests": "Too many requests",
    "gateway_declined": "The gateway declined it",
    "gateway_refused": "The request failed at the gateway",
    "unavailable": "Temporarily unavailable",
    "internal": "Internal error",
}
_OF_ERRORS: tuple[tuple[type[BillingError], int, str], ...] = (
    (KeyReused, 422, "key_reused"),
    (InvalidValue, 422, "invalid_value"),
    (RefundTooLarge, 422, "invalid_value"),
    (NotKnown, 404, "not_found"),
    (AlreadyExists, 409, "already_exists"),
    (WalletAlreadyLinked, 409, "already_exists"),
    (IllegalMove, 409, "not_possible"),
    (GatewayDeclined, 422, "gateway_declined"),
    (GatewayRefused, 502, "gateway_refused"),
    (NotConfigured, 503, "unavailable"),
)
_OF_STATUSES = {
    400: "invalid_request", 401: "unauthorized", 403: "forbidden", 404: "not_found",
    405: "method_not_allowed", 413: "too_large", 415: "unsupported_media_type",
    422: "invalid_request", 429: "too_many_requests", 503: "unavailable",
}  # fmt: skip

NOT_FOUND = 404
_NO_SUCH_PATH = "there is no such path; /v1/openapi.json lists all, without a slash at the end"


class FieldError(BaseModel):
    """What is wrong with one value of the request."""

    field: str = Field(description="Where it is", examples=["body.amount"])
    detail: str = Field(examples=["Input should be a valid integer"])


class Problem(BaseModel):
    """A refusal (RFC 9457). Nothing was written."""

    type: str = Field(description="A stable name of the kind of problem", examples=["not_found"])
    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["no customer has the id 'C9'"])
    request_id: str = Field(examples=["0b9f1c1e-7b1d-4a55-9f5e-3d6b8a7f2c11"])
    errors: list[FieldError] = Field(default_factory=list)


class Refused(Exception):
    """A refusal of the HTTP interface itself."""

    def __init__(self, status: int, kind: str, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail = status, kind, detail
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def response(
    request_id: str,
    status: int,
    kind: str,
    detail: str,
    *,
    errors: Sequence[FieldError] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    """Build the answer to a refused request."""
    found = Problem(
        type=kind, title=TITLES[kind], status=status, detail=detail, request_id=request_id,
        errors=list(errors),
    )  # fmt: skip
    content = orjson.dumps(found.model_dump())
    return Response(content, status, headers=headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every refusal and every error of the application with a problem document."""
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(BillingError, _billing_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(SQLAlchemyError, _database_error)


def _id(request: Request) -> str:
    return str(request.state.request_id)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)  # noqa: S101 - registered for this class
    return response(_id(request), error.status, error.kind, error.detail, headers=error.headers)


async def _billing_error(request: Request, error: Exception) -> Response:
    for kind, status, name in _OF_ERRORS:
        if isinstance(error, kind):
            return _said(request, status, name, error)
    return _said(request, 409, "not_possible", error)


def _said(request: Request, status: int, kind: str, error: Exception) -> Response:
    """Answer with what is wrong, and the fields that it is about; the hint is for a terminal."""
    assert isinstance(error, BillingError)  # noqa: S101 - registered for this class
    detail = error.said.replace("idempotency key api:", "Idempotency-Key ")
    errors = [FieldError(field=_place(request, each.field), detail=each.said)
              for each in error.faults]  # fmt: skip
    return response(_id(request), status, kind, detail, errors=errors)


def _place(request: Request, field: str) -> str:
    """Say where a refused field is: in the path, in the query or in the body."""
    for name in (field, f"{field}_id"):
        if name in request.path_params:
            return f"path.{name}"
    return f"{'query' if request.method == 'GET' else 'body'}.{field}"


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
    errors = [_field_error(each) for each in error.errors()]
    said = "; ".join(f"{each.field}: {each.detail}" for each in errors[:3])
    return response(_id(request), 422, "invalid_request", said, errors=errors)


def _field_error(error: Any) -> FieldError:
    """Say where a value is wrong; the value itself is not repeated, it may be personal."""
    where = ".".join(str(part) for part in error["loc"])
    said = str(error["msg"]).removeprefix("Value error, ")
    said = _PLAINLY.get(error["type"], said)
    return FieldError(field=escape(where)[:200], detail=escape(said)[:200])


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    kind = _OF_STATUSES.get(error.status_code, "invalid_request")
    headers = dict(error.headers or {})
    detail = _NO_SUCH_PATH if error.status_code == NOT_FOUND else TITLES[kind]
    return response(_id(request), error.status_code, kind, detail, headers=headers)


async def _database_error(request: Request, error: Exception) -> Response:
    if isinstance(error, DBAPIError) and is_locked(error):
        detail = "another request is changing the same object; repeat this one"
        return response(_id(request), 409, "in_progress", detail, headers={"Retry-After": "1"})
    if isinstance(error, DBAPIError) and is_lost(error):
        log.warning("web.database_lost", error=type(error).__name__)
        detail = "the database cannot be reached; repeat the request with its Idempotency-Key"
        return response(_id(request), 503, "unavailable", detail, headers={"Retry-After": "2"})
    return internal(_id(request), error)


def log_failure(error: BaseException, event: str = "web.failed") -> None:
    """Log the class of an error and its place; not its text, in which PostgreSQL repeats a row."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    where = traceback.extract_tb(error.__traceback__)[-1:]
    log.error(
        event, error=type(error).__name__, sqlstate=getattr(cause, "sqlstate", None),
        at=", ".join(f"{each.name}:{each.lineno}" for each in where),
    )  # fmt: skip


def internal(request_id: str, error: BaseException) -> Response:
    """Log an unexpected error, and answer without any of its details."""
    log_failure(error)
    return response(request_id, 500, "internal", f"look for {request_id} in the log")
