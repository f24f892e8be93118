"""Log-in with a second factor: the code counts as much as the password."""

from base64 import b32decode
from datetime import datetime, timedelta

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from billing.clock import real_now
from billing.domain.events import OPERATOR
from billing.domain.people import PER_NAME, Role
from billing.services.operating import people, sessions
from billing.services.operating.sessions import TooManyLogins, WrongLogin
from tests.integration.command import Billing
from tests.integration.console import PASSWORD, browsing, person, text_of
from tests.integration.engine import Engine
from tests.integration.web import Web

STEP = timedelta(seconds=30)
ADDRESS = "192.0.2.1"


def code(secret: str, at: datetime) -> str:
    """What the app shows."""
    return TOTP(b32decode(secret), 6, SHA1(), 30).generate(int(at.timestamp())).decode()


@pytest.fixture
def secret(engine: Engine) -> str:
    """The secret of a person who has a second factor."""
    person(engine, Role.OPERATOR, "ani")
    return people.set_second_factor(engine.context, "ani", OPERATOR).secret


def test_password_and_code_are_both_needed(engine: Engine, secret: str) -> None:
    """Each alone is refused with the same words; both together begin a session."""
    now = real_now()
    right = code(secret, now)
    for password, given in ((PASSWORD, ""), (PASSWORD, "000000"), ("wrong" * 3, right)):
        with pytest.raises(WrongLogin) as refused:
            sessions.log_in(engine.context, "ani", password, ADDRESS, now, given)
        assert str(refused.value) == "the name, the password or the code is wrong"

    session_id = sessions.log_in(engine.context, "ani", PASSWORD, ADDRESS, now, right)

    found = sessions.recognize(engine.context, session_id, now)
    assert found is not None
    assert found.person.has_second_factor


def test_a_code_is_used_once(engine: Engine, secret: str) -> None:
    """Who saw it over the shoulder cannot use it; the next code works."""
    now = real_now()
    sessions.log_in(engine.context, "ani", PASSWORD, ADDRESS, now, code(secret, now))

    with pytest.raises(WrongLogin):
        sessions.log_in(engine.context, "ani", PASSWORD, ADDRESS, now, code(secret, now))
    later = now + STEP
    assert sessions.log_in(engine.context, "ani", PASSWORD, ADDRESS, later, code(secret, later))


def test_guessing_codes_is_limited_like_guessing_passwords(engine: Engine, secret: str) -> None:
    """With the right password: after five wrong codes even the right one waits 15 minutes."""
    now = real_now()
    for _ in range(5):
        with pytest.raises(WrongLogin):
            sessions.log_in(engine.context, "ani", PASSWORD, ADDRESS, now, "000000")

    with pytest.raises(TooManyLogins):
        sessions.log_in(engine.context, "ani", PASSWORD, ADDRESS, now, code(secret, now))


def test_a_new_secret_replaces_the_one_before_and_ends_sessions(
    engine: Engine, secret: str
) -> None:
    """Codes of the old secret are wrong at once, and nobody stays logged in."""
    now = real_now()
    session_id = sessions.log_in(engine.context, "ani", PASSWORD, ADDRESS, now, code(secret, now))

    made = people.set_second_factor(engine.context, "ani", OPERATOR)

    assert sessions.recognize(engine.context, session_id, now) is None
    later = now + STEP
    with pytest.raises(WrongLogin):
        sessions.log_in(engine.context, "ani", PASSWORD, ADDRESS, later, code(secret, later))
    right = code(made.secret, later)
    assert sessions.log_in(engine.context, "ani", PASSWORD, ADDRESS, later, right)


def test_the_secret_is_stored_encrypted_and_in_no_event(engine: Engine, secret: str) -> None:
    """The database alone makes no code."""
    [row] = engine.rows("SELECT factor_sealed FROM people")
    events = engine.rows("SELECT CAST(e AS text) AS said FROM events e")

    assert b32decode(secret) not in bytes(row["factor_sealed"])
    assert not any(secret in row["said"] for row in events)
    assert len(engine.told("person.second_factor_set")) == 1


def test_the_form_of_the_console_takes_the_code(engine: Engine, web: Web, secret: str) -> None:
    """Without it the form comes again, and says that one of the three is wrong."""
    with browsing(web, "") as [browser]:
        browser.open("/login")
        refused = browser.log_in("ani")
        form = {"name": "ani", "password": PASSWORD, "code": code(secret, real_now())}
        accepted = browser.send("/login", form)

    assert refused.status_code == 401
    assert "The name, the password or the code is wrong." in text_of(refused.text)
    assert accepted.status_code == 303


def test_the_command_shows_the_secret_once_and_removes_it(billing: Billing, engine: Engine) -> None:
    """The list says only that there is one; after --remove the password is enough."""
    person(engine, Role.ADMIN, "budi")
    made = billing("person", "second-factor", "budi")

    assert made["address"].startswith("otpauth://totp/ovo-billing:budi?secret=")
    [listed] = billing("person", "list")
    assert listed["has_second_factor"] is True
    assert made["secret"] not in str(listed)
    assert billing("person", "second-factor", "budi", "--remove")["has_second_factor"] is False
    assert sessions.log_in(engine.context, "budi", PASSWORD, ADDRESS, real_now())
    assert "has no second factor" in billing("person", "second-factor", "budi", "--remove", code=1)


def test_a_wrong_code_after_the_right_password_is_an_event(engine: Engine, secret: str) -> None:
    """Somebody knows the password: the person and the operators can see it."""
    with pytest.raises(WrongLogin):
        sessions.log_in(engine.context, "ani", PASSWORD, ADDRESS, real_now(), "000000")
    with pytest.raises(WrongLogin):
        sessions.log_in(engine.context, "ani", "wrong" * 3, ADDRESS, real_now(), "000000")

    [told] = engine.told("person.code_refused")
    assert told["actor"] == "ani"


def test_a_log_in_gives_a_guesser_elsewhere_no_new_guesses(engine: Engine, secret: str) -> None:
    """Failures of other addresses are counted on, however often the real person logs in."""
    now, failed = real_now(), 0
    for number in range(8):
        at = now + number * STEP
        for address in range(3):
            try:
                sessions.log_in(
                    engine.context, "ani", PASSWORD, f"198.51.100.{number}{address}", at, "000000"
                )
            except WrongLogin:
                failed += 1
            except TooManyLogins:
                assert failed <= PER_NAME
                return
        sessions.log_in(engine.context, "ani", PASSWORD, ADDRESS, at, code(secret, at))
    pytest.fail("never refused")


def test_a_factor_that_no_key_opens_answers_like_a_wrong_password(
    engine: Engine, secret: str
) -> None:
    """Another answer would tell a stranger that the password is right."""
    engine.execute("UPDATE people SET factor_sealed = :value", value=b"\x01" + b"x" * 40)

    with pytest.raises(WrongLogin):
        sessions.log_in(engine.context, "ani", PASSWORD, ADDRESS, real_now(), "000000")
