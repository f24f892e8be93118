"""Sessions: log in to the console, recognize who is logged in, and log out.

A session's random id of 256 bits is in a cookie, and here only as its hash. Failed log-ins are
counted before the password is compared, so that many at the same time are not more than many in a
row. Times are real also under a test clock: `now` is real time.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from threading import BoundedSemaphore

from sqlalchemy import Connection

from billing.domain.errors import BillingError, NotConfigured
from billing.domain.events import Actor, event
from billing.domain.people import (
    PASSWORD_MAX,
    PER_ADDRESS,
    PER_NAME,
    PER_NAME_AND_ADDRESS,
    USE_NOTED_AFTER,
    WINDOW,
    Session,
)
from billing.logs import Logger
from billing.services.context import Context
from billing.store import passwords, second_factor
from billing.store.queries import events
from billing.store.queries import people as rows
from billing.store.queries.people import Secret

log = Logger(__name__)

ID_BYTES = 32
_WRONG = "the name, the password or the code is wrong"
BY_PROXY = "proxy."
"""The id of a session that a trusted proxy began starts so; the hash is of the whole id."""
COMPARISONS = 2
"""Passwords that one process compares at the same time; each takes 19 MiB and a core."""
COMPARE_WAIT_SECONDS = 1
_COMPARING = BoundedSemaphore(COMPARISONS)
LIMITS = (PER_NAME_AND_ADDRESS, PER_NAME, PER_ADDRESS)


class WrongLogin(BillingError):
    """Name, password or code is wrong, or the person is disabled: no answer says which."""


class LoginsBusy(BillingError):
    """Other log-ins are being checked at this moment."""


class TooManyLogins(BillingError):
    """Too many log-ins failed for this name, or from this address."""


def log_in(
    context: Context, name: str, password: str, address: str, now: datetime, code: str = ""
) -> str:
    """Return the id of a new session. Raises WrongLogin, TooManyLogins or LoginsBusy.

    `code` is that of the second factor, which a person without one leaves empty.
    """
    with context.database.transaction() as connection:
        found = rows.secret_of(connection, name) if name.isprintable() else None
        # By the person's id: a database may know several spellings of one name.
        subjects = _subjects(context, str(found.person.id) if found else name, address)
        counts = rows.count_attempts(connection, subjects, now, now + WINDOW)
    if any(count > most for count, most in zip(counts, LIMITS, strict=True)):
        raise TooManyLogins("too many failed log-ins; wait 15 minutes")
    known = None if found is None or found.person.disabled_at else found.password_hash
    try:
        is_right = _compared(known, password[: PASSWORD_MAX + 1])
    except LoginsBusy:
        with context.database.transaction() as connection:
            for subject in subjects:
                rows.subtract_attempt(connection, subject)
        raise
    if not is_right or found is None:
        raise WrongLogin(_WRONG)
    step = _step(context, found, code, now)
    session_id = secrets.token_urlsafe(ID_BYTES)
    renewed = passwords.hashed(password) if passwords.is_outdated(found.password_hash) else None
    with context.database.transaction() as connection:
        _begin(connection, found, session_id, renewed, context.clock.now(), now)
        if step is not None:
            rows.use_factor(connection, found.person.id, step)
        # Those of another address stay: a log-in must not give a guesser new guesses.
        rows.forget_attempts(connection, subjects[:1])
        for subject in subjects[1:]:
            rows.subtract_attempt(connection, subject)
    return session_id


def sign_on(context: Context, name: str, now: datetime) -> str:
    """Return the id of a new session of a person whom a trusted proxy has recognized.

    The name must be written exactly as the person's: other spellings of it may be other people at
    the proxy. Raises WrongLogin.
    """
    session_id = BY_PROXY + secrets.token_urlsafe(ID_BYTES)
    with context.database.transaction() as connection:
        found = rows.lock(connection, name)
        if found is None or found.person.name != name or found.person.disabled_at:
            raise WrongLogin("no active person has this name")
        person = found.person
        rows.note_login(connection, person.id, now)
        rows.add_session(connection, id_hash(session_id), person.id, now)
        events.record(connection, [event("person.logged_in", at=context.clock.now(),
                                         by=Actor(name), person=str(person.id),
                                         person_name=name, recognized_by="proxy")])  # fmt: skip
    return session_id


def _step(context: Context, found: Secret, code: str, now: datetime) -> int | None:
    """Return the step of the code; None for a person without a second factor."""
    if found.factor_sealed is None:
        return None
    try:
        key = context.vault.open(bytes(found.factor_sealed))
    except NotConfigured:
        # Another answer would tell that the password is right.
        log.error("login.factor_not_opened", person=str(found.person.id))  # noqa: TRY400 - no bug
        raise WrongLogin(_WRONG) from None
    step = second_factor.step_of(key, code, now, found.factor_step)
    if step is None:
        _record_refused_code(context, found)
        raise WrongLogin(_WRONG)
    return step


def _record_refused_code(context: Context, found: Secret) -> None:
    """Record that a log-in had the right password and a wrong code."""
    person = found.person
    with context.database.transaction() as connection:
        events.record(connection, [event("person.code_refused", at=context.clock.now(),
                                         by=Actor(person.name), person=str(person.id),
                                         person_name=person.name)])  # fmt: skip


def _compared(password_hash: str | None, password: str) -> bool:
    """Compare a password; only few at a time, so that guessing leaves threads to other requests."""
    if not _COMPARING.acquire(timeout=COMPARE_WAIT_SECONDS):
        raise LoginsBusy("too many log-ins at this moment; try again")
    try:
        return passwords.matches(password_hash, password)
    finally:
        _COMPARING.release()


def _begin(
    connection: Connection,
    found: Secret,
    session_id: str,
    renewed: str | None,
    billing_now: datetime,
    now: datetime,
) -> None:
    """Insert the session, unless the person was changed while the password was compared.

    A second log-in with the same code, at the same time, finds the code used here.
    """
    person = found.person
    locked = rows.lock(connection, person.name)
    if locked is None or locked.person.disabled_at or locked[1:] != found[1:]:
        raise WrongLogin(_WRONG)
    if renewed is not None:
        rows.set_password(connection, person.id, renewed, None)
    rows.note_login(connection, person.id, now)
    rows.add_session(connection, id_hash(session_id), person.id, now)
    events.record(connection, [event("person.logged_in", at=billing_now, by=Actor(person.name),
                                     person=str(person.id), person_name=person.name)])  # fmt: skip


def recognize(
    context: Context, session_id: str, now: datetime, *, counts_as_use: bool = True
) -> Session | None:
    """Return the valid session with this id, or None.

    A page that refreshes itself is no use: else it would keep a session valid that no person uses.
    A session that a proxy began, without password and code, ends with single sign-on.
    """
    if session_id.startswith(BY_PROXY) and not context.settings.sso_header:
        return None
    with context.database.transaction() as connection:
        found = rows.session(connection, id_hash(session_id))
        if found is None or found.person.disabled_at is not None or not found.is_valid(now):
            return None
        if counts_as_use and now - found.used_at >= USE_NOTED_AFTER:
            rows.note_use(connection, id_hash(session_id), now)
    return found


def log_out(context: Context, session_id: str) -> None:
    """End a session; an id that is not valid is ignored."""
    with context.database.transaction() as connection:
        rows.end_session(connection, id_hash(session_id))


def form_token(session_id: str) -> str:
    """Return the token that a form of this session carries; only who has the cookie can know it."""
    return sha256(b"form " + session_id.encode()).hexdigest()


def subject_of(context: Context, name: str) -> bytes:
    """Return the subject that counts failed log-ins of a name, from all addresses together."""
    who = name.strip().lower()
    return context.vault.hashes(b"login " + f"name {who}".encode(errors="replace"))[0]


def id_hash(session_id: str) -> bytes:
    """Return the hash under which a session is stored."""
    return sha256(b"session " + session_id.encode(errors="replace")).digest()


def _subjects(context: Context, name: str, address: str) -> Sequence[bytes]:
    """Return what failed log-ins are counted for: name and address together, name, address."""
    who = name.strip().lower()
    texts = (f"both {address} {who}", f"name {who}", f"address {address}")
    return [context.vault.hashes(b"login " + each.encode(errors="replace"))[0] for each in texts]
