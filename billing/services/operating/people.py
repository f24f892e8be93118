"""People: create and change who may log in to the console, and end their sessions."""

import secrets
from typing import NamedTuple
from uuid import uuid4

from sqlalchemy import Connection

from billing.domain import people
from billing.domain.documents import Inline
from billing.domain.errors import AlreadyExists, IllegalMove, InvalidValue, NotKnown
from billing.domain.events import Actor, event
from billing.domain.people import Person
from billing.services.context import Context
from billing.services.operating.api_keys import RESERVED
from billing.store import passwords, second_factor
from billing.store.queries import api_keys, events
from billing.store.queries import people as rows
from billing.store.queries.people import Secret

LIMIT_MAX = 1_000
GENERATED_BYTES = 15


class NewFactor(NamedTuple):
    """A person with a second factor that was just set: the only time that its secret is readable.

    `address` is what an app reads from a QR code: otpauth://totp/…
    """

    row: Inline[Person]
    secret: str
    address: str


class NewPassword(NamedTuple):
    """A person with a password that was just generated: the only time that it is readable."""

    row: Inline[Person]
    password: str


def generated() -> str:
    """Generate a password of 120 random bits."""
    return secrets.token_urlsafe(GENERATED_BYTES)


def create(context: Context, name: str, role: str, password: str, by: Actor) -> Person:
    """Create a person. Raises InvalidValue, or AlreadyExists when the name is taken."""
    people.checked_person_name(name)
    if name.lower() in RESERVED:
        raise InvalidValue(f"a person cannot have the name {name!r}: the engine's own events do")
    wanted = people.role(role)
    password_hash = passwords.hashed(people.checked_password(password, name))
    now = context.clock.now()
    person = Person(uuid4(), name, wanted, now, now, None, None, has_second_factor=False)
    with context.database.transaction() as connection:
        if api_keys.is_in_use(connection, name):
            raise AlreadyExists(f"an API key has the name {name!r}; events could be of either")
        if not rows.add(connection, person, password_hash):
            raise AlreadyExists(
                f"a person has the name {name!r}; choose another: events keep the names of people"
            )
        events.record(connection, [event("person.created", at=now, by=by, person=str(person.id),
                                         person_name=name, role=wanted)])  # fmt: skip
    return person


def listed(context: Context) -> list[Person]:
    """Return people, those who may log in first."""
    with context.database.transaction() as connection:
        return rows.page(connection, LIMIT_MAX)


def is_nobody(context: Context) -> bool:
    """Whether there is no person yet."""
    with context.database.transaction() as connection:
        return not rows.exist(connection)


def has_password(context: Context, name: str, password: str) -> bool:
    """Whether a person who may log in has this password."""
    with context.database.transaction() as connection:
        found = rows.secret_of(connection, name)
    known = None if found is None or found.person.disabled_at else found.password_hash
    return passwords.matches(known, password)


def set_password(context: Context, name: str, password: str, by: Actor) -> Person:
    """Set a person's password, and end every session."""
    now = context.clock.now()
    password_hash = passwords.hashed(people.checked_password(password, name))
    with context.database.transaction() as connection:
        person = _locked(connection, name).person
        rows.set_password(connection, person.id, password_hash, now)
        _changed(connection, "person.password_changed", person, context, by)
    return person._replace(password_changed_at=now)


def set_second_factor(context: Context, name: str, by: Actor) -> NewFactor:
    """Make a new second factor for a person, in place of an earlier one; every session ends."""
    key = second_factor.new_key()
    with context.database.transaction() as connection:
        person = _locked(connection, name).person
        rows.set_factor(connection, person.id, context.vault.seal(key))
        _changed(connection, "person.second_factor_set", person, context, by)
    made = person._replace(has_second_factor=True)
    return NewFactor(made, second_factor.written(key), second_factor.address(key, person.name))


def remove_second_factor(context: Context, name: str, by: Actor) -> Person:
    """Let a person log in with the password only; every session ends."""
    with context.database.transaction() as connection:
        person = _locked(connection, name).person
        if not person.has_second_factor:
            raise IllegalMove(f"{person.name!r} has no second factor")
        rows.set_factor(connection, person.id, None)
        _changed(connection, "person.second_factor_removed", person, context, by)
    return person._replace(has_second_factor=False)


def set_role(context: Context, name: str, role: str, by: Actor) -> Person:
    """Change what a person may do, and end every session."""
    wanted = people.role(role)
    with context.database.transaction() as connection:
        person = _locked(connection, name).person
        if person.role is wanted:
            raise IllegalMove(f"{person.name!r} has the role {wanted} already")
        rows.set_role(connection, person.id, wanted)
        _changed(connection, "person.role_changed", person, context, by, role=wanted)
    return person._replace(role=wanted)


def disable(context: Context, name: str, by: Actor) -> Person:
    """Let a person log in no more, and end every session; the name stays taken."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        person = _locked(connection, name).person
        if person.disabled_at is not None:
            raise IllegalMove(f"{person.name!r} is disabled already")
        rows.set_disabled(connection, person.id, now)
        _changed(connection, "person.disabled", person, context, by)
    return person._replace(disabled_at=now)


def end_sessions(context: Context, name: str, by: Actor) -> Person:
    """End every session of a person, who may log in again."""
    with context.database.transaction() as connection:
        person = _locked(connection, name).person
        _changed(connection, "person.sessions_ended", person, context, by)
    return person


def enable(context: Context, name: str, by: Actor) -> Person:
    """Let a disabled person log in again."""
    with context.database.transaction() as connection:
        person = _locked(connection, name).person
        if person.disabled_at is None:
            raise IllegalMove(f"{person.name!r} is not disabled")
        rows.set_disabled(connection, person.id, None)
        _changed(connection, "person.enabled", person, context, by)
    return person._replace(disabled_at=None)


def _locked(connection: Connection, name: str) -> Secret:
    found = rows.lock(connection, name) if name.isprintable() else None
    if found is None:
        raise NotKnown(f"no person has the name {name!r}", hint="see: billing person list")
    return found


def _changed(
    connection: Connection, kind: str, person: Person, context: Context, by: Actor, **more: str
) -> None:
    """End the person's sessions, and record the change."""
    rows.end_sessions(connection, person.id)
    about = {"person": str(person.id), "person_name": person.name, **more}
    events.record(connection, [event(kind, at=context.clock.now(), by=by, data=about)])
