"""What the routes share: the documentation of refusals, and path parameters."""

from typing import Annotated, Any

from fastapi import Path
from pydantic import BaseModel

from billing.web.problems import MEDIA_TYPE, TITLES, Problem

CustomerId = Annotated[
    str, Path(max_length=50, description="The customer's id", examples=["cust-1"])
]
PlanCode = Annotated[str, Path(max_length=50, description="The plan's code", examples=["gold"])]

_TYPES = {
    400: "invalid_request", 401: "unauthorized", 403: "forbidden", 404: "not_found",
    408: "invalid_request", 409: "not_possible", 413: "too_large", 415: "unsupported_media_type",
    422: "invalid_value", 429: "too_many_requests", 500: "internal", 502: "gateway_refused",
    503: "unavailable",
}  # fmt: skip
_ALWAYS = (401, 403, 422, 429, 500, 503)
_WITH_BODY = (400, 408, 413, 415)


def refusals(*statuses: int, body: bool = False) -> dict[int | str, dict[str, Any]]:
    """Document the refusals that a route can answer with."""
    listed = sorted({*_ALWAYS, *statuses, *(_WITH_BODY if body else ())})
    return {status: _refusal(status) for status in listed}


def created(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """Document that a PUT made something new."""
    return {201: {"model": model, "description": "Created"}}


def _refusal(status: int) -> dict[str, Any]:
    title = TITLES[_TYPES[status]]
    example = {
        "type": _TYPES[status], "title": title, "status": status, "detail": title,
        "request_id": "0b9f1c1e-7b1d-4a55-9f5e-3d6b8a7f2c11", "errors": [],
    }  # fmt: skip
    return {
        "description": title,
        "model": Problem,
        "content": {MEDIA_TYPE: {"example": example}},
    }
