"""Commands on pages: a reader gets the page where it is done, or the roles that may do it."""

import re
from datetime import UTC, datetime
from uuid import UUID

import pytest

from billing.domain import ways_out
from billing.domain.people import ALLOWED, Person, Role
from billing.services.reading import attention
from billing.web.console import helping
from billing.web.console.routes import PAGES

ROW = UUID("bdc3d1d5-0000-4000-8000-000000000000")
AT = datetime(2026, 1, 31, tzinfo=UTC)


def person(role: Role) -> Person:
    """A person of a role."""
    return Person(ROW, "Ani", role, AT, AT, None, None, has_second_factor=False)


def commands() -> list[str]:
    """Every command that a service can name for a row."""
    tables = (
        ways_out.SUBSCRIPTION, ways_out.INVOICE, ways_out.CHARGE, ways_out.REFUND, ways_out.WALLET
    )  # fmt: skip
    ways = {way.command for table in tables for every in table.values() for way in every}
    named = {re.sub(r"\b[A-Z]{4,}\b", str(ROW), each) for each in ways}
    listed = {*attention._COMMANDS.values(), *attention._LOOK.values()}
    listed = {each for each in listed if each.startswith("billing ")}
    return sorted(named | {each.format(id=ROW, customer="c", kind="charge") for each in listed})


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("command", commands())
def test_a_command_is_a_page_that_the_reader_may_open(command: str, role: Role) -> None:
    """Or it names the roles that may; nobody else is shown a command that they cannot run."""
    found = helping.for_person(person(role))(command)

    assert bool(found.command) <= (role in helping.TERMINAL)
    assert bool(found.roles) is not bool(found.address or found.command)
    assert role not in found.roles
    if found.address:
        path = found.address.removeprefix("/console")
        [page] = [each for each in PAGES if each.method == "GET" and _fits(each.path, path)]
        assert page.action is not None
        assert role in ALLOWED[page.action]


def _fits(path: str, address: str) -> bool:
    shape = re.sub(r"\\{[^}]+\\}", "[^/]+", re.escape(path))
    return re.fullmatch(shape, address) is not None


def test_support_retries_on_a_page_and_a_viewer_is_told_who_may() -> None:
    """The same row helps each of them; an operator sees the command beside the page."""
    command = f"billing invoice retry {ROW}"
    support, viewer, operator = (
        helping.for_person(person(role))(command)
        for role in (Role.SUPPORT, Role.VIEWER, Role.OPERATOR)
    )
    assert support.address == operator.address == f"/console/invoices/{ROW}/retry"
    assert (support.command, operator.command) == ("", command)
    assert viewer.roles == (Role.SUPPORT, Role.OPERATOR, Role.ADMIN)
    assert (viewer.address, viewer.command) == ("", "")


def test_from_when_a_command_is_accepted_stays_beside_it() -> None:
    """The outcome of a charge can be set from an instant on: the page says from which."""
    found = helping.for_person(person(Role.FINANCE))(
        f'from 2026-02-01 09:00: billing charge resolve {ROW} --as declined --reason "…"'
    )
    assert found.since == "from 2026-02-01 09:00"
    assert found.address == f"/console/charges/{ROW}"
