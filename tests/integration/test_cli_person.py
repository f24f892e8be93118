"""`billing person`: the password is never an argument, and is shown only when generated."""

import io
import json
import sys

import pytest

from billing import cli
from billing.services.operating import people
from tests.integration.command import Billing
from tests.integration.console import PASSWORD
from tests.integration.engine import Engine


@pytest.fixture
def typing(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a person types at the prompts, on a terminal."""
    typed: list[str] = []
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda _prompt: typed.pop(0))
    return typed


def test_a_generated_password_is_shown_once_and_works(engine: Engine, billing: Billing) -> None:
    """`create --generate` prints it; the list does not have it."""
    made = billing("person", "create", "ani", "--role", "operator", "--generate", "--by", "budi")
    assert (made["name"], made["role"]) == ("ani", "operator")
    assert people.has_password(engine.context, "ani", made["password"])
    [row] = billing("person", "list")
    assert set(row) == {"id", "name", "role", "created_at", "password_changed_at", "logged_in_at",
                        "disabled_at", "has_second_factor"}  # fmt: skip
    assert made["password"] not in json.dumps(row)
    assert engine.told("person.created")[0]["actor"] == "budi"


def test_a_typed_password_is_not_printed(
    engine: Engine, billing: Billing, typing: list[str]
) -> None:
    """Typed twice; two that differ change nothing."""
    typing += [PASSWORD, PASSWORD + "!"]
    assert "differ" in billing("person", "create", "ani", "--role", "admin", code=1)
    assert engine.one("SELECT count(*) FROM people") == 0
    typing += [PASSWORD, PASSWORD]
    said = billing("person", "create", "ani", "--role", "admin", people=True)
    assert PASSWORD not in said
    assert people.has_password(engine.context, "ani", PASSWORD)


def test_a_password_may_come_through_a_pipe(
    engine: Engine, billing: Billing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line of standard input, for a program that creates people."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(PASSWORD + "\nmore\n"))
    billing("person", "create", "ani", "--role", "viewer")
    assert people.has_password(engine.context, "ani", PASSWORD)


def test_no_option_takes_a_password(billing: Billing, capsys: pytest.CaptureFixture[str]) -> None:
    """Arguments are in the shell's history, and in the list of processes."""
    assert cli.run(["person", "create", "ani", "--role", "admin", "--password", PASSWORD]) == 2
    assert cli.run(["person", "password", "ani", PASSWORD]) == 2


def test_a_person_is_changed_step_by_step(engine: Engine, billing: Billing) -> None:
    """Role, password, disable, enable; each says what it did."""
    billing("person", "create", "ani", "--role", "viewer", "--generate")
    assert billing("person", "role", "ANI", "--role", "finance")["role"] == "finance"
    changed = billing("person", "password", "ani", "--generate")
    assert people.has_password(engine.context, "ani", changed["password"])
    assert "logged in nowhere" in billing("person", "disable", "ani", people=True)
    assert not people.has_password(engine.context, "ani", changed["password"])
    assert billing("person", "enable", "ani")["disabled_at"] is None
    assert people.has_password(engine.context, "ani", changed["password"])


def test_a_refusal_is_one_line(billing: Billing) -> None:
    """Unknown name, unknown role, short password."""
    assert "billing person list" in billing("person", "disable", "ani", code=1)
    assert "viewer, support" in billing(
        "person", "create", "a", "--role", "x", "--generate", code=1
    )
    assert "no people yet" in billing("person", "list", people=True)
