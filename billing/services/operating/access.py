"""Access: what an administrator decided about a person or a key, on a page that showed its state.

The page's form carries a mark of that state and an idempotency key. Of the last person who may give
roles neither the role nor the log-in is taken away here: the command line is for that.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import TypeVar
from uuid import UUID

import orjson
from sqlalchemy import Connection

from billing.domain.errors import IllegalMove, NotKnown
from billing.domain.payloads import Json
from billing.domain.people import Person
from billing.services.context import Context, Request, once
from billing.services.operating.confirming import CHANGED, Changed
from billing.store.queries import pages
from billing.store.queries import people as rows

T = TypeVar("T")


def mark_of(person: Person) -> str:
    """Return one value for what administrators decide about a person; log-ins do not change it."""
    disabled_at = None if person.disabled_at is None else person.disabled_at.timestamp()
    shown = [person.role, person.password_changed_at.timestamp(), disabled_at,
             person.has_second_factor]  # fmt: skip
    return sha256(orjson.dumps(shown)).hexdigest()[:32]


def act_once(context: Context, request: Request, act: Callable[[Context], T]) -> T | None:
    """Run a service that knows no keys, and store the key in its transaction.

    Returns None when the key was used before: then nothing was done now.
    """
    done: list[T] = []

    def do(connection: Connection, _now: object) -> Json:
        done.append(act(context.joined(connection)))
        return {}

    once(context, request, do)
    return done[0] if done else None


def change(
    context: Context,
    person_id: UUID,
    seen: str,
    request: Request,
    act: Callable[[Context, str], T],
    *,
    takes_admin: bool = False,
) -> T | None:
    """Act on a person, by name, who is as the page showed, under the person's lock.

    `takes_admin` says that the person may give no roles afterwards. Returns None when the key was
    used before. Raises NotKnown, Changed, IllegalMove for the last admin, or what `act` raises.
    """
    with context.database.transaction() as connection:
        # Two admins who disable each other wait for each other here.
        admins = rows.lock_admins(connection) if takes_admin else []
        found = rows.one(connection, person_id)
        locked = None if found is None else rows.lock(connection, found.name)
        if locked is None:
            raise NotKnown(f"no person has the id {person_id}")
        if not pages.is_key_used(connection, request.key):
            if mark_of(locked.person) != seen:
                raise Changed(CHANGED)
            if takes_admin and admins == [person_id]:
                raise IllegalMove(
                    f"{locked.person.name!r} is the last admin who may log in: give another person"
                    " the role first"
                )
        name = locked.person.name
        return act_once(context.joined(connection), request, lambda inside: act(inside, name))
