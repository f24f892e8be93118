"""Access page: who can get in, and with what: people with their sessions, and API keys.

Failed log-ins are stored under keyed hashes; those of a person are found, those of an address are
not. Nothing is written.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from billing.clock import real_now
from billing.domain.api_keys import ApiKey
from billing.domain.errors import NotKnown
from billing.domain.people import PER_NAME, Person
from billing.services.context import Context
from billing.services.operating import api_keys, people, sessions
from billing.store.queries import people as rows
from billing.store.queries.people import BegunSession, FailedAttempts


class Standing(NamedTuple):
    """A person with the sessions that are valid, and the log-ins that failed lately."""

    person: Person
    sessions: Sequence[BegunSession]
    failed: FailedAttempts | None

    @property
    def is_locked(self) -> bool:
        """Whether the next log-in is refused, from any address and with the right password too."""
        return self.failed is not None and self.failed.failed >= PER_NAME


class Access(NamedTuple):
    """Who may get in; keys are valid in billing time, sessions in real time."""

    people: Sequence[Standing]
    keys: Sequence[ApiKey]
    now: datetime

    @property
    def may_log_in(self) -> list[Standing]:
        """Return the people who are not disabled."""
        return [each for each in self.people if each.person.disabled_at is None]

    @property
    def with_password_only(self) -> list[Standing]:
        """Return the people who may log in without a second factor."""
        return [each for each in self.may_log_in if not each.person.has_second_factor]

    @property
    def locked(self) -> list[Standing]:
        """Return the people whose log-ins are refused at this moment."""
        return [each for each in self.may_log_in if each.is_locked]

    @property
    def valid_keys(self) -> list[ApiKey]:
        """Return the keys that open the HTTP interface."""
        return [each for each in self.keys if each.is_valid(self.now)]


def read(context: Context) -> Access:
    """Return all people and keys: those that may get in first."""
    with context.database.transaction() as connection:
        inside = context.joined(connection)
        found = _standing(inside, connection, people.listed(inside))
        return Access(found, api_keys.listed(inside), context.clock.now())


def of_person(context: Context, person_id: UUID) -> Standing:
    """Return one person. Raises NotKnown."""
    with context.database.transaction() as connection:
        person = rows.one(connection, person_id)
        if person is None:
            raise NotKnown(f"no person has the id {person_id}")
        return _standing(context.joined(connection), connection, [person])[0]


def of_key(context: Context, key_id: UUID) -> ApiKey:
    """Return one key. Raises NotKnown."""
    found = next((each for each in api_keys.listed(context) if each.id == key_id), None)
    if found is None:
        raise NotKnown(f"no key has the id {key_id}")
    return found


def _standing(
    context: Context, connection: Connection, found: Sequence[Person]
) -> list[Standing]:  # fmt: skip
    now = real_now()
    subjects = {sessions.subject_of(context, str(each.id)): each.id for each in found}
    failed = {
        subjects[bytes(each.subject)]: each
        for each in rows.attempts(connection, list(subjects), now)
    }
    begun: dict[UUID, list[BegunSession]] = {}
    for each in rows.begun(connection, now, found[0].id if len(found) == 1 else None):
        begun.setdefault(each.person, []).append(each)
    return [Standing(person, begun.get(person.id, ()), failed.get(person.id)) for person in found]
