"""People: roles, passwords, and how long a session is valid."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from billing.domain import people
from billing.domain.errors import InvalidValue
from billing.domain.people import ALLOWED, IDLE_MAX, SESSION_MAX, Action, Person, Role, Session
from billing.store import passwords

NOW = datetime(2026, 1, 31, 2, tzinfo=UTC)
GOOD = "correct horse battery"


def someone(role: Role, disabled_at: datetime | None = None) -> Person:
    """A person with a role."""
    return Person(uuid4(), "Ani", role, NOW, NOW, None, disabled_at, has_second_factor=False)


def test_every_action_names_its_roles() -> None:
    """No action is forgotten, and none is for nobody."""
    assert set(ALLOWED) == set(Action)
    assert all(ALLOWED.values())


@pytest.mark.parametrize("role", Role)
def test_everyone_may_look_and_only_some_may_stop_charging(role: Role) -> None:
    """Stopping is for operators and administrators; a viewer changes nothing."""
    person = someone(role)
    assert person.may(Action.SEE_ENGINE)
    assert person.may(Action.SEE_CUSTOMERS)
    may = role in {Role.OPERATOR, Role.ADMIN}
    assert person.may(Action.STOP_CHARGING) is may
    assert person.may(Action.START_CHARGING) is may


def test_a_disabled_person_may_do_nothing() -> None:
    """Whatever the role was."""
    assert not any(someone(Role.ADMIN, NOW).may(action) for action in Action)


@pytest.mark.parametrize(
    "password", ["", "short", "x" * 201, "aaaaaaaaaaaaaaaa", "my ani-budi 12345"]
)
def test_a_weak_password_is_refused_without_repeating_it(password: str) -> None:
    """Too short, too long, a few characters, or with the name in it; the message has none of it."""
    with pytest.raises(InvalidValue) as refused:
        people.checked_password(password, "Ani-Budi")
    assert not password or password not in str(refused.value)


def test_a_long_password_is_accepted() -> None:
    """Also one of 200 characters, and one in any script."""
    for password in (GOOD, "kata sandi " * 18, "пароль-из-букв-разных"):
        assert people.checked_password(password, "Ani") == password


@pytest.mark.parametrize("name", ["", " Ani", "Ani ", "A" * 51, "Ani\nBudi", "A\u202eni", "\u200d"])
def test_an_unreadable_name_is_refused(name: str) -> None:
    """It would forge a line in a list of events, or hide in it."""
    with pytest.raises(InvalidValue):
        people.checked_person_name(name)


def test_an_unknown_role_names_the_roles() -> None:
    """The message lists what there is."""
    with pytest.raises(InvalidValue, match="viewer, support, operator, finance or admin"):
        people.role("root")


def test_a_session_ends_when_idle_and_when_old() -> None:
    """Twelve hours without use, or seven days with any."""

    def valid(created: timedelta, used: timedelta) -> bool:
        return Session(someone(Role.VIEWER), NOW - created, NOW - used, 0).is_valid(NOW)

    second = timedelta(seconds=1)
    assert valid(IDLE_MAX - second, IDLE_MAX - second)
    assert not valid(IDLE_MAX, IDLE_MAX)
    assert valid(SESSION_MAX - second, second)
    assert not valid(SESSION_MAX, second)
    assert (timedelta(hours=12), timedelta(days=7)) == (IDLE_MAX, SESSION_MAX)


class TestPasswords:
    """Argon2id, with OWASP's parameters."""

    def test_a_hash_has_the_recommended_parameters(self) -> None:
        """19 MiB, two iterations, one thread; each hash has its own salt."""
        first, second = passwords.hashed(GOOD), passwords.hashed(GOOD)
        assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert first != second
        assert GOOD not in first
        assert not passwords.is_outdated(first)

    def test_only_the_password_matches(self) -> None:
        """Another one does not, an empty one does not, and without a hash none does."""
        made = passwords.hashed(GOOD)
        assert passwords.matches(made, GOOD)
        assert not passwords.matches(made, GOOD + " ")
        assert not passwords.matches(made, "")
        assert not passwords.matches(None, GOOD)
        assert not passwords.matches("no hash at all", GOOD)

    def test_the_same_letters_match_however_they_are_composed(self) -> None:
        """Keyboards write é as one letter or as two."""
        assert passwords.matches(
            passwords.hashed("caf\u00e9 caf\u00e9 caf\u00e9"), "cafe\u0301 " * 2 + "cafe\u0301"
        )

    def test_a_lone_surrogate_is_no_error(self) -> None:
        """What a form can contain is compared, and does not match."""
        assert not passwords.matches(passwords.hashed(GOOD), "\ud800")

    def test_weaker_parameters_are_noticed(self) -> None:
        """So that the next log-in can hash again."""
        weak = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$"
        from argon2 import PasswordHasher

        assert passwords.is_outdated(PasswordHasher(time_cost=1, memory_cost=64).hash(GOOD))
        assert not passwords.matches(weak, GOOD)
