"""Helping: where a reader does what a command does, or who may do it.

A service names a command that helps with a row. Here it becomes a page of the console, if this
person may act there. Who may not is told which roles may; only who works on the command line is
shown the command.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple
from uuid import UUID

from billing.domain.people import ALLOWED, Action, Person, Role
from billing.web.console.labels import N_
from billing.web.console.visits import PREFIX

TERMINAL = frozenset({Role.OPERATOR, Role.ADMIN})
"""The roles that are shown commands; the command line itself asks for no role."""
_SEE = N_("See the row")


class Help(NamedTuple):
    """What helps: the address of a page with its words, the command, and the roles that may.

    What this reader cannot use is empty; `roles` are named only when both are. `since` is from when
    it will be accepted, and `is_terminal` says that the console has no page for it.
    """

    address: str
    words: str
    command: str
    roles: tuple[Role, ...]
    since: str
    is_terminal: bool


class _Place(NamedTuple):
    action: Action
    path: str
    words: str


_PLACES = {
    "billing invoice retry": _Place(Action.RETRY_INVOICES, "invoices/{}/retry", N_("Retry…")),
    "billing invoice void": _Place(Action.VOID_INVOICES, "invoices/{}/void", N_("Void…")),
    "billing refund": _Place(Action.REFUND, "invoices/{}/refund", N_("Refund…")),
    "billing charge resolve": _Place(
        Action.RESOLVE_CHARGES, "charges/{}", N_("Set the outcome…")
    ),
    "billing subscription cancel": _Place(
        Action.CHANGE_SUBSCRIPTIONS, "subscriptions/{}/cancel", N_("Cancel the subscription…")
    ),
    "billing subscription pause": _Place(
        Action.CHANGE_SUBSCRIPTIONS, "subscriptions/{}/pause", N_("Pause…")
    ),
    "billing subscription resume": _Place(
        Action.CHANGE_SUBSCRIPTIONS, "subscriptions/{}/resume", N_("Resume…")
    ),
    "billing webhook update": _Place(
        Action.CHANGE_WEBHOOKS, "webhooks/{}/enable", N_("Enable…")
    ),
    "billing webhook test": _Place(Action.RESEND_WEBHOOKS, "webhooks/{}", N_("Send a test")),
    "billing webhook deliveries": _Place(Action.SEE_ENGINE, "webhooks/{}", _SEE),
    "billing invoice show": _Place(Action.SEE_CUSTOMERS, "invoices/{}", _SEE),
    "billing charge show": _Place(Action.SEE_CUSTOMERS, "charges/{}", _SEE),
    "billing refunds show": _Place(Action.SEE_CUSTOMERS, "refunds/{}", _SEE),
    "billing subscription show": _Place(Action.SEE_CUSTOMERS, "subscriptions/{}", _SEE),
}  # fmt: skip
"""Commands that have a page; every other one is for the command line only."""


def for_person(person: Person) -> Callable[[str], Help]:
    """Return what helps this person, by the command of a service."""
    return partial(_help, person)


def _help(person: Person, given: str) -> Help:
    since, found, command = given.partition(": billing ")
    command, since = (f"billing {command}", since) if found else (given, "")
    shown = command if person.role in TERMINAL else ""
    place, row_id = _place(command), _row_id(command)
    if place is None or row_id is None:
        roles = () if shown else ordered(TERMINAL)
        return Help("", "", shown, roles, since, is_terminal=True)
    if not person.may(place.action):
        return Help("", "", "", ordered(ALLOWED[place.action]), since, is_terminal=False)
    address = f"{PREFIX}/{place.path.format(row_id)}"
    return Help(address, place.words, shown, (), since, is_terminal=False)


def _place(command: str) -> _Place | None:
    return next((at for words, at in _PLACES.items() if command.startswith(f"{words} ")), None)


def _row_id(command: str) -> UUID | None:
    for word in command.split():
        try:
            return UUID(word)
        except ValueError:
            continue
    return None


def ordered(roles: frozenset[Role]) -> tuple[Role, ...]:
    """Return roles in the order of the matrix."""
    return tuple(role for role in Role if role in roles)
