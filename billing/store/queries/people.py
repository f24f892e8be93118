"""Statements about people, their sessions, and log-ins that failed."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.people import IDLE_MAX, SESSION_MAX, Person, Role, Session
from billing.store.queries.open_approvals import IS_CURRENT
from billing.store.selecting import at_most_one, columns, every, of_values
from billing.store.statements import text

_HAS_FACTOR = {"has_second_factor": "p.factor_sealed IS NOT NULL"}
PERSON = columns(Person, "p", **_HAS_FACTOR)
_PEOPLE = f"SELECT {PERSON} FROM people p"  # noqa: S608 - a constant of ours


class Secret(NamedTuple):
    """A person, the hash of the password, and the second factor if there is one."""

    person: Person
    password_hash: str
    factor_sealed: bytes | None
    factor_step: int | None


class BegunSession(NamedTuple):
    """A session that is valid: whose it is, and when it was used; its id is only a hash."""

    id_hash: bytes
    person: UUID
    created_at: datetime
    used_at: datetime


class FailedAttempts(NamedTuple):
    """How many log-ins failed for a subject, and until when they count."""

    subject: bytes
    failed: int
    until: datetime


def add(connection: Connection, person: Person, password_hash: str) -> bool:
    """Insert a person; False when the name is taken, in capitals or not."""
    statement = text(
        "INSERT INTO people (id, name, role, password_hash, created_at, password_changed_at)"
        " VALUES (:id, :name, :role, :password_hash, :created_at, :password_changed_at)"
        " ON CONFLICT (lower(name)) DO NOTHING RETURNING id"
    )
    values = {name: getattr(person, name) for name in
              ("id", "name", "role", "created_at", "password_changed_at")}  # fmt: skip
    found = connection.execute(statement, values | {"password_hash": password_hash})
    return found.first() is not None


def page(connection: Connection, limit: int) -> list[Person]:
    """Read people: those who may log in first, by name."""
    ending = "ORDER BY disabled_at IS NOT NULL, lower(name) LIMIT :limit"
    return every(Person, connection.execute(text(f"{_PEOPLE} {ending}"), {"limit": limit}))


def exist(connection: Connection) -> bool:
    """Whether there is any person."""
    return bool(connection.execute(text("SELECT EXISTS (SELECT 1 FROM people)")).scalar_one())


def has_name(connection: Connection, name: str) -> bool:
    """Whether a person has this name."""
    statement = text("SELECT EXISTS (SELECT 1 FROM people WHERE lower(name) = lower(:name))")
    return bool(connection.execute(statement, {"name": name}).scalar_one())


def one(connection: Connection, person_id: UUID) -> Person | None:
    """Read one person."""
    statement = text(f"{_PEOPLE} WHERE p.id = :id")
    return at_most_one(Person, connection.execute(statement, {"id": person_id}))


def lock_admins(connection: Connection) -> list[UUID]:
    """Lock the people who may give roles, always in the same order; return their ids."""
    statement = text(
        "SELECT id FROM people WHERE role = 'admin' AND disabled_at IS NULL ORDER BY id FOR UPDATE"
    )
    return list(connection.execute(statement).scalars())


def secret_of(connection: Connection, name: str) -> Secret | None:
    """Read a person and the hash of the password, and the second factor."""
    return _secret(connection, f"{_SECRETS} WHERE lower(name) = lower(:name)", name)


def lock(connection: Connection, name: str) -> Secret | None:
    """Lock and read a person: sessions are made and ended under this lock."""
    return _secret(connection, f"{_SECRETS} WHERE lower(name) = lower(:name) FOR UPDATE", name)


_SECRETS = f"SELECT {PERSON}, password_hash, factor_sealed, factor_step FROM people p"  # noqa: S608 - a constant of ours


def _secret(connection: Connection, statement: str, name: str) -> Secret | None:
    values = connection.execute(text(statement), {"name": name}).one_or_none()
    return None if values is None else Secret(of_values(Person, values[:-3]), *values[-3:])


def set_role(connection: Connection, person_id: UUID, role: Role) -> None:
    """Change what a person may do."""
    statement = text("UPDATE people SET role = :role WHERE id = :id")
    connection.execute(statement, {"id": person_id, "role": role})


def set_disabled(connection: Connection, person_id: UUID, at: datetime | None) -> None:
    """Disable a person, or enable one again."""
    statement = text("UPDATE people SET disabled_at = :at WHERE id = :id")
    connection.execute(statement, {"id": person_id, "at": at})


def set_password(
    connection: Connection, person_id: UUID, password_hash: str, changed_at: datetime | None
) -> None:
    """Store a password's hash; without an instant it is the same password, hashed again."""
    statement = text(
        "UPDATE people SET password_hash = :password_hash,"
        " password_changed_at = coalesce(:changed_at, password_changed_at) WHERE id = :id"
    )
    parameters = {"id": person_id, "password_hash": password_hash, "changed_at": changed_at}
    connection.execute(statement, parameters)


def set_factor(connection: Connection, person_id: UUID, sealed: bytes | None) -> None:
    """Store the encrypted secret of a second factor, or remove it."""
    statement = text("UPDATE people SET factor_sealed = :sealed, factor_step = NULL WHERE id = :id")
    connection.execute(statement, {"id": person_id, "sealed": sealed})


def use_factor(connection: Connection, person_id: UUID, step: int) -> None:
    """Store which code of a second factor was used last."""
    statement = text("UPDATE people SET factor_step = :step WHERE id = :id")
    connection.execute(statement, {"id": person_id, "step": step})


def note_login(connection: Connection, person_id: UUID, at: datetime) -> None:
    """Store when a person logged in."""
    statement = text("UPDATE people SET logged_in_at = :at WHERE id = :id")
    connection.execute(statement, {"id": person_id, "at": at})


def add_session(connection: Connection, id_hash: bytes, person_id: UUID, now: datetime) -> None:
    """Insert a session, and delete those that have ended by themselves."""
    connection.execute(
        text(
            "DELETE FROM console_sessions WHERE created_at <= :begun"
            " OR (created_at <= :idle AND used_at <= :idle)"
        ),
        {"begun": now - SESSION_MAX, "idle": now - IDLE_MAX},
    )
    connection.execute(
        text(
            "INSERT INTO console_sessions (id_hash, person_id, created_at, used_at)"
            " VALUES (:id_hash, :person_id, :now, :now)"
        ),
        {"id_hash": id_hash, "person_id": person_id, "now": now},
    )


def session(connection: Connection, id_hash: bytes) -> Session | None:
    """Read a session with its person, and count the open requests for every page's navigation."""
    statement = text(
        f"SELECT {PERSON}, s.created_at, s.used_at,"  # noqa: S608 - a constant of ours
        " (SELECT count(*) FROM approvals a WHERE a.status = 'open' AND a.ends_at > coalesce("
        f"(SELECT clock_at FROM engine), now()) AND {IS_CURRENT}) FROM console_sessions s"
        " JOIN people p ON p.id = s.person_id WHERE s.id_hash = :id_hash"
    )
    values = connection.execute(statement, {"id_hash": id_hash}).one_or_none()
    if values is None:
        return None
    return Session(of_values(Person, values[:-3]), *values[-3:])


def begun(
    connection: Connection, now: datetime, person_id: UUID | None = None
) -> list[BegunSession]:
    """Read the sessions that are valid, of all people or of one, the last used first."""
    one_of_them = "" if person_id is None else "AND person_id = :person"
    statement = text(f"""
        SELECT {columns(BegunSession, person="person_id")} FROM console_sessions
        WHERE created_at > :begun AND used_at > :idle {one_of_them}
        ORDER BY used_at DESC, id_hash
    """)  # noqa: S608 - constants of ours
    parameters: dict[str, object] = {"begun": now - SESSION_MAX, "idle": now - IDLE_MAX}
    if person_id is not None:
        parameters["person"] = person_id
    return every(BegunSession, connection.execute(statement, parameters))


def note_use(connection: Connection, id_hash: bytes, now: datetime) -> None:
    """Store when a session was used."""
    statement = text("UPDATE console_sessions SET used_at = :now WHERE id_hash = :id_hash")
    connection.execute(statement, {"id_hash": id_hash, "now": now})


def end_session(connection: Connection, id_hash: bytes) -> None:
    """Delete one session."""
    statement = text("DELETE FROM console_sessions WHERE id_hash = :id_hash")
    connection.execute(statement, {"id_hash": id_hash})


def end_sessions(connection: Connection, person_id: UUID) -> int:
    """Delete every session of a person; return how many there were."""
    statement = text("DELETE FROM console_sessions WHERE person_id = :id")
    return connection.execute(statement, {"id": person_id}).rowcount


_COUNT = text("""
    INSERT INTO failed_logins AS f (subject, failed, until) VALUES (:subject, 1, :until)
    ON CONFLICT (subject) DO UPDATE SET
        failed = CASE WHEN f.until <= :now THEN 1 ELSE f.failed + 1 END,
        until = CASE WHEN f.until <= :now THEN excluded.until ELSE f.until END
    RETURNING failed
""")
_FORGET_OLD = text("""
    DELETE FROM failed_logins WHERE subject IN (SELECT subject FROM failed_logins
        WHERE until <= :now ORDER BY until LIMIT 1000 FOR UPDATE SKIP LOCKED)
""")


def count_attempts(
    connection: Connection, subjects: Sequence[bytes], now: datetime, until: datetime
) -> list[int]:
    """Count one log-in for each subject, before it is decided; return the counts, in order.

    A count begins again when its time is over. Old counts are deleted.
    """
    connection.execute(_FORGET_OLD, {"now": now})
    parameters = ({"subject": each, "now": now, "until": until} for each in subjects)
    return [int(connection.execute(_COUNT, each).scalar_one()) for each in parameters]


def attempts(
    connection: Connection, subjects: Sequence[bytes], now: datetime
) -> list[FailedAttempts]:
    """Read the counts of some subjects whose time is not over."""
    statement = text(f"""
        SELECT {columns(FailedAttempts)} FROM failed_logins
        WHERE subject = ANY(:subjects) AND until > :now AND failed > 0
    """)  # noqa: S608 - a constant of ours
    found = connection.execute(statement, {"subjects": list(subjects), "now": now})
    return every(FailedAttempts, found)


def forget_attempts(connection: Connection, subjects: Sequence[bytes]) -> None:
    """Delete the counts of some subjects."""
    statement = text("DELETE FROM failed_logins WHERE subject = ANY(:subjects)")
    connection.execute(statement, {"subjects": list(subjects)})


def subtract_attempt(connection: Connection, subject: bytes) -> None:
    """Subtract one attempt that did not fail."""
    statement = text("UPDATE failed_logins SET failed = failed - 1 WHERE subject = :subject")
    connection.execute(statement, {"subject": subject})
