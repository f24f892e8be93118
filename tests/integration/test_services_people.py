"""People and their sessions: what ends a session, and what an attacker can try."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from argon2 import PasswordHasher

from billing.clock import real_now
from billing.domain.errors import AlreadyExists, BillingError, IllegalMove, InvalidValue, NotKnown
from billing.domain.events import OPERATOR, Actor
from billing.domain.people import (
    IDLE_MAX,
    PER_ADDRESS,
    PER_NAME,
    PER_NAME_AND_ADDRESS,
    SESSION_MAX,
    WINDOW,
    Role,
)
from billing.services.operating import api_keys, people, sessions
from billing.services.operating.sessions import LoginsBusy, TooManyLogins, WrongLogin
from billing.store import passwords
from billing.store.queries import people as rows
from tests.integration.console import PASSWORD, person
from tests.integration.engine import Engine
from tests.integration.races import Hold

HERE = "203.0.113.7"


def log_in(engine: Engine, name: str, password: str = PASSWORD, **more: Any) -> str:
    """Log in from an address, now."""
    address, now = more.get("address", HERE), more.get("now", real_now())
    return sessions.log_in(engine.context, name, password, address, now)


def fail(engine: Engine, name: str, **more: Any) -> None:
    """Log in with a wrong password."""
    with pytest.raises(WrongLogin):
        log_in(engine, name, "wrong password", **more)


def is_valid(engine: Engine, session_id: str) -> bool:
    """Whether a session is recognized now."""
    return sessions.recognize(engine.context, session_id, real_now()) is not None


class TestPeople:
    """Creating and changing."""

    def test_a_person_is_stored_without_the_password(self, engine: Engine) -> None:
        """In no column and in no event; the event names who did it."""
        made = people.create(engine.context, "Ani", "support", PASSWORD, Actor("budi", "new"))
        assert made.role is Role.SUPPORT
        [row] = engine.rows("SELECT * FROM people")
        assert row["password_hash"].startswith("$argon2id$")
        assert PASSWORD not in str(row)
        [event] = engine.told("person.created")
        assert (event["actor"], event["reason"], event["data"]["person_name"]) == (
            "budi",
            "new",
            "Ani",
        )
        assert PASSWORD not in str(event)
        assert row["password_hash"] not in str(event)

    def test_a_name_is_taken_in_capitals_too(self, engine: Engine) -> None:
        """Also that of a disabled person: events keep it."""
        person(engine, name="Ani")
        people.disable(engine.context, "ani", OPERATOR)
        with pytest.raises(AlreadyExists):
            person(engine, name="ANI")

    def test_a_person_and_a_key_do_not_share_a_name(self, engine: Engine) -> None:
        """An event says only a name; a revoked key's name is free."""
        api_keys.create(engine.context, "shop", ["read"], OPERATOR)
        with pytest.raises(AlreadyExists):
            person(engine, name="Shop")
        person(engine, name="Ani")
        with pytest.raises(AlreadyExists):
            api_keys.create(engine.context, "ani", ["read"], OPERATOR)
        api_keys.revoke(engine.context, "shop", OPERATOR)
        person(engine, name="Shop")

    @pytest.mark.parametrize("name", ["scheduler", "Gateway", "admin task"])
    def test_a_name_of_the_engine_is_refused(self, engine: Engine, name: str) -> None:
        """Its events would look like the engine's own."""
        with pytest.raises(InvalidValue):
            person(engine, name=name)

    def test_a_refusal_writes_nothing(self, engine: Engine) -> None:
        """Neither a person nor an event."""
        for name, role, password in (("Ani", "boss", PASSWORD), ("Ani", "admin", "short")):
            with pytest.raises(InvalidValue):
                people.create(engine.context, name, role, password, OPERATOR)
        assert engine.one("SELECT count(*) FROM people") == 0
        assert engine.told("person.created") == []

    def test_an_unknown_person_is_refused(self, engine: Engine) -> None:
        """Each command says where to look."""
        for act in (people.disable, people.enable):
            with pytest.raises(NotKnown, match="billing person list"):
                act(engine.context, "nobody", OPERATOR)
        with pytest.raises(NotKnown):
            people.set_role(engine.context, "no\0body", "admin", OPERATOR)
        with pytest.raises(NotKnown):
            people.set_password(engine.context, "nobody", PASSWORD, OPERATOR)

    def test_a_repeated_change_says_so(self, engine: Engine) -> None:
        """Disabled already, not disabled, the same role."""
        name = person(engine)
        with pytest.raises(IllegalMove):
            people.enable(engine.context, name, OPERATOR)
        with pytest.raises(IllegalMove):
            people.set_role(engine.context, name, "admin", OPERATOR)
        people.disable(engine.context, name, OPERATOR)
        with pytest.raises(IllegalMove):
            people.disable(engine.context, name, OPERATOR)


class TestSessions:
    """What begins and what ends a session."""

    def test_a_session_is_stored_as_a_hash(self, engine: Engine) -> None:
        """A copy of the database logs nobody in."""
        session_id = log_in(engine, person(engine))
        assert len(session_id) >= 43  # 256 bits
        [row] = engine.rows("SELECT * FROM console_sessions")
        assert session_id.encode() not in bytes(row["id_hash"])
        assert is_valid(engine, session_id)
        assert not is_valid(engine, bytes(row["id_hash"]).hex())
        assert not is_valid(engine, "")
        assert not is_valid(engine, "\ud800")
        assert engine.told("person.logged_in")[0]["actor"] == "Ani admin"

    def test_two_sessions_have_two_ids(self, engine: Engine) -> None:
        """Logging out of one leaves the other."""
        name = person(engine)
        first, second = log_in(engine, name), log_in(engine, name)
        assert first != second
        sessions.log_out(engine.context, first)
        assert not is_valid(engine, first)
        assert is_valid(engine, second)

    @pytest.mark.parametrize("change", ["disable", "role", "password"])
    def test_a_change_of_a_person_ends_every_session(self, engine: Engine, change: str) -> None:
        """Of this person, on every device; of no other."""
        name, other = person(engine), person(engine, Role.VIEWER)
        mine, theirs = [log_in(engine, name), log_in(engine, name)], log_in(engine, other)
        match change:
            case "disable":
                people.disable(engine.context, name, OPERATOR)
            case "role":
                people.set_role(engine.context, name, "viewer", OPERATOR)
            case "password":
                people.set_password(engine.context, name, "another long one", OPERATOR)
        assert not any(is_valid(engine, each) for each in mine)
        assert is_valid(engine, theirs)

    def test_an_enabled_person_logs_in_again(self, engine: Engine) -> None:
        """With the password of before; while disabled no password helps."""
        name = person(engine)
        people.disable(engine.context, name, OPERATOR)
        with pytest.raises(WrongLogin):
            log_in(engine, name)
        people.enable(engine.context, name, OPERATOR)
        assert is_valid(engine, log_in(engine, name))

    def test_the_time_limits_hold(self, engine: Engine) -> None:
        """Idle for 12 hours, or 7 days old, in real time; using it moves only the first."""
        now = real_now()
        session_id = log_in(engine, person(engine), now=now)

        def at(later: timedelta, *, counts: bool = True) -> bool:
            found = sessions.recognize(
                engine.context, session_id, now + later, counts_as_use=counts
            )
            return found is not None

        assert not at(IDLE_MAX)
        step = IDLE_MAX - timedelta(minutes=1)
        later = timedelta()
        while later + step < SESSION_MAX:
            later += step
            assert at(later)
        assert not at(SESSION_MAX)

    def test_a_page_that_refreshes_itself_keeps_no_session(self, engine: Engine) -> None:
        """An abandoned screen logs itself out."""
        now = real_now()
        session_id = log_in(engine, person(engine), now=now)
        for hours in range(1, 12):
            at = now + timedelta(hours=hours)
            assert sessions.recognize(engine.context, session_id, at, counts_as_use=False)
        assert sessions.recognize(engine.context, session_id, now + IDLE_MAX) is None

    def test_ended_sessions_are_deleted(self, engine: Engine) -> None:
        """The next log-in removes what no one can use any more."""
        name, now = person(engine), real_now()
        log_in(engine, name, now=now - SESSION_MAX)
        log_in(engine, name, now=now - IDLE_MAX)
        log_in(engine, name, now=now)
        assert engine.one("SELECT count(*) FROM console_sessions") == 1

    def test_a_log_in_that_races_with_a_new_password_loses(
        self, engine: Engine, hold: Hold
    ) -> None:
        """The password was right when it was compared; the session would outlive the change."""
        name = person(engine)
        with ThreadPoolExecutor(1) as pool, hold(rows, "secret_of") as stands:
            late = pool.submit(log_in, engine, name)
            stands.wait(10)
            people.set_password(engine.context, name, "another long one", OPERATOR)
        with pytest.raises(WrongLogin):
            late.result(20)
        assert engine.one("SELECT count(*) FROM console_sessions") == 0

    def test_an_old_hash_is_renewed_by_a_log_in(self, engine: Engine) -> None:
        """Without ending anything: the password is the same."""
        name = person(engine)
        weak = PasswordHasher(time_cost=1, memory_cost=64).hash(PASSWORD)
        engine.execute("UPDATE people SET password_hash = :weak", weak=weak)
        before = log_in(engine, name)
        made = engine.one("SELECT password_hash FROM people")
        assert made != weak
        assert not passwords.is_outdated(made)
        assert is_valid(engine, before)
        assert is_valid(engine, log_in(engine, name))


class TestGuessing:
    """Failed log-ins are limited, and tell nothing."""

    def test_a_name_from_one_address_has_five_attempts(self, engine: Engine) -> None:
        """Then the right password is refused too, until the window ends; elsewhere it works."""
        name, now = person(engine), real_now()
        for _ in range(PER_NAME_AND_ADDRESS):
            fail(engine, name, now=now)
        with pytest.raises(TooManyLogins):
            log_in(engine, name, now=now)
        assert log_in(engine, name, address="198.51.100.9", now=now)
        with pytest.raises(TooManyLogins):
            log_in(engine, name.upper(), now=now + WINDOW - timedelta(seconds=1))
        assert log_in(engine, name, now=now + WINDOW)

    def test_a_name_is_limited_over_all_addresses(self, engine: Engine) -> None:
        """Many machines have no more attempts than the limit of a name."""
        name = person(engine)
        for number in range(PER_NAME):
            fail(engine, name, address=f"198.51.100.{number}")
        with pytest.raises(TooManyLogins):
            log_in(engine, name, address="192.0.2.200")

    def test_an_address_is_limited_over_all_names(self, engine: Engine, monkeypatch: Any) -> None:
        """One password tried with many names; a success of its own does not reset it."""
        monkeypatch.setattr(passwords, "matches", lambda _hash, given: given == PASSWORD)
        name = person(engine)
        for number in range(PER_ADDRESS):
            fail(engine, f"nobody {number}")
            if number == 20:
                log_in(engine, name)
        with pytest.raises(TooManyLogins):
            log_in(engine, name)

    def test_a_success_forgets_the_failures_of_the_name(self, engine: Engine) -> None:
        """A person who mistypes now and then is never locked out."""
        name = person(engine)
        for _ in range(3):
            for _ in range(PER_NAME_AND_ADDRESS - 1):
                fail(engine, name)
            log_in(engine, name)

    def test_attempts_at_the_same_time_are_all_counted(
        self, engine: Engine, other: Engine, monkeypatch: Any
    ) -> None:
        """Of twenty at once, at most five look at the password."""
        looked: list[str] = []

        def matches(_hash: str | None, given: str) -> bool:
            looked.append(given)
            return False

        name = person(engine)
        monkeypatch.setattr(passwords, "matches", matches)

        def attempt(number: int) -> str:
            with pytest.raises(BillingError) as refused:
                log_in(engine if number % 2 else other, name, f"guess number {number}")
            return type(refused.value).__name__

        with ThreadPoolExecutor(6) as pool:
            said = list(pool.map(attempt, range(20)))
        assert said.count("WrongLogin") == len(looked) == PER_NAME_AND_ADDRESS

    def test_guessing_leaves_threads_to_other_requests(
        self, engine: Engine, monkeypatch: Any
    ) -> None:
        """Only two passwords are compared at a time; a third waits a moment, and is told so."""
        standing, go_on = [Event(), Event()], Event()
        waiting = iter(standing)

        def matches(_hash: str | None, _given: str) -> bool:
            next(waiting).set()
            return not go_on.wait(20)

        name = person(engine)
        monkeypatch.setattr(passwords, "matches", matches)
        with ThreadPoolExecutor(2) as pool:
            busy = [pool.submit(log_in, engine, name, "guess", address=f"a{n}") for n in range(2)]
            assert all(each.wait(20) for each in standing)
            with pytest.raises(LoginsBusy):
                log_in(engine, name, address="b")
            go_on.set()
            for each in busy:
                with pytest.raises(WrongLogin):
                    each.result(20)

    def test_an_unknown_name_is_answered_like_a_wrong_password(
        self, engine: Engine, monkeypatch: Any
    ) -> None:
        """The same error, and a hash is computed for each: time tells nothing either."""
        computed: list[bool] = []
        plain = passwords.matches

        def matches(password_hash: str | None, given: str) -> bool:
            computed.append(password_hash is None)
            return plain(password_hash, given)

        known = person(engine)
        disabled = person(engine, Role.VIEWER)
        people.disable(engine.context, disabled, OPERATOR)
        monkeypatch.setattr(passwords, "matches", matches)
        said = set()
        for name in (known, disabled, "nobody", "", "no\nbody", "x" * 500):
            with pytest.raises(WrongLogin) as refused:
                log_in(engine, name, "wrong password")
            said.add(str(refused.value))
        assert len(said) == 1
        assert computed == [False, True, True, True, True, True]

    def test_a_name_as_it_was_typed_is_not_stored(self, engine: Engine) -> None:
        """People type passwords there; only a keyed hash is kept, for the window."""
        fail(engine, "hunter2 hunter2")
        stored = engine.rows("SELECT * FROM failed_logins")
        assert len(stored) == 3
        assert "hunter2" not in str(stored)
        assert HERE not in str(stored)
        fail(engine, "somebody else", now=real_now() + WINDOW)
        assert len(engine.rows("SELECT * FROM failed_logins")) == 3
