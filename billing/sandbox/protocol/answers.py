"""Answers as values: a status, a body, and how they are to be signed; and DOKU's error envelopes.

It knows no connection; scripted faults may still change what goes over the wire.
"""

from dataclasses import dataclass
from typing import Any

import orjson

Json = dict[str, Any]
"""A JSON object, parsed or to be written."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, before it is sent."""

    status: int
    body: bytes
    signed: bool = True
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


def success(status: int, body: Json) -> Answer:
    """A success, which is signed."""
    return Answer(status, orjson.dumps(body))


def error(
    status: int, code: str, message: str, kind: str = "invalid_request_error", **headers: str
) -> Answer:
    """The usual envelope: an object `error` with code, message and type."""
    body = orjson.dumps({"error": {"code": code, "message": message, "type": kind}})
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Answer(status, body, signed=False, headers=named)


def declined(status: int, code: str, message: str, number: str) -> Answer:
    """
    A decline: the usual envelope together with the order that it is about.

    How DOKU writes a decline on this endpoint is not known.
    """
    error_block = {"code": code, "message": message, "type": "payment_error"}
    body = orjson.dumps({"error": error_block, "order": {"invoice_number": number}})
    return Answer(status, body, signed=False)


def unhandled(status: int, reason: str, path: str, at: str) -> Answer:
    """The envelope of an unhandled failure: here `error` is a text, not an object."""
    body = {"timestamp": at, "status": status, "error": reason, "path": path}
    return Answer(status, orjson.dumps(body), signed=False)


def unrouted(path: str) -> Answer:
    """The answer to an unknown path: only a `message`."""
    body = orjson.dumps({"message": f"No static resource {path.lstrip('/')}."})
    return Answer(404, body, signed=False)


def page(status: int, html: str) -> Answer:
    """A web page, for a person or for a client that did not expect one."""
    document = f"<!doctype html><html><body>{html}</body></html>"
    return Answer(status, document.encode(), signed=False, content_type="text/html; charset=utf-8")
