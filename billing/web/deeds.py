"""Deeds: what a POST does, at most once for an Idempotency-Key.

The key is stored in the transaction of the deed, with the prefix `api:`, so that it never meets the
key of a command or an admin task.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Header
from sqlalchemy import Connection

from billing.domain.payloads import Json
from billing.services.context import Context, Request, once
from billing.web import bodies
from billing.web.access import Caller

T = TypeVar("T")
KEY_MAX = 200

_HEADER = Header(
    alias="Idempotency-Key", min_length=1, max_length=KEY_MAX, pattern=r"^[\x21-\x7e]+$",
    description="A text of your own: a repeated request with the same key acts once",
)  # fmt: skip
Key = Annotated[str | None, _HEADER]
RequiredKey = Annotated[str, _HEADER]


@dataclass(frozen=True, slots=True)
class Deed:
    """A POST: who asks for it, under which key, what it is called, and its arguments."""

    caller: Caller
    key: str | None
    name: str
    arguments: Json

    @property
    def request(self) -> Request | None:
        """Return the request for services that are idempotent themselves."""
        if self.key is None:
            return None
        return Request(f"api:{self.key}", self.name, self.arguments)

    def do(self, act: Callable[[Context], T]) -> T:
        """Run a service that is idempotent itself."""
        return act(self.caller.context)

    def once(self, act: Callable[[Context], object]) -> None:
        """Run a service that knows no keys, and store the key in its transaction."""

        def inside(connection: Connection, _now: object) -> Json:
            act(self.caller.context.joined(connection))
            return {}

        once(self.caller.context, self.request, inside)


def of(caller: Caller, key: str | None, name: str, body: bodies.Body, **place: object) -> Deed:
    """Build a deed: its arguments are the body, as it was given, and the ids of the path."""
    given = body.model_dump(mode="json", exclude_unset=True)
    return Deed(caller, key, name, {**given, **{k: str(v) for k, v in place.items()}})
