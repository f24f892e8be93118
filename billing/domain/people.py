"""People of the console: their roles, what each role allows, and how long a log-in lasts.

A page names its action, never its path. This module knows no page, no cookie and no password.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from billing.domain.errors import InvalidValue
from billing.domain.text import checked_name, one_of

NAME_MAX = 50
PASSWORD_MIN, PASSWORD_MAX = 12, 200
IDLE_MAX = timedelta(hours=12)
"""A session ends when its person has asked for no page for this long."""
SESSION_MAX = timedelta(days=7)
"""A session ends after this time, however much it is used."""
USE_NOTED_AFTER = timedelta(minutes=1)
"""The time of the last use is written at most this often."""
WINDOW = timedelta(minutes=15)
"""Failed log-ins are counted for this long, from the first one."""
PER_NAME_AND_ADDRESS, PER_NAME, PER_ADDRESS = 5, 20, 50
"""Failed log-ins within the window, after which the next one is refused without a look at it."""


class Role(StrEnum):
    """What a person does for the merchant."""

    VIEWER = "viewer"
    SUPPORT = "support"
    OPERATOR = "operator"
    FINANCE = "finance"
    ADMIN = "admin"


class Action(StrEnum):
    """What a page shows or does."""

    SEE_ENGINE = "see_engine"
    SEE_CUSTOMERS = "see_customers"
    STOP_CHARGING = "stop_charging"
    START_CHARGING = "start_charging"
    EXPORT_LISTS = "export_lists"
    ACT_IN_BULK = "act_in_bulk"
    CHANGE_SUBSCRIPTIONS = "change_subscriptions"
    RETRY_INVOICES = "retry_invoices"
    VOID_INVOICES = "void_invoices"
    REFUND = "refund"
    RESOLVE_CHARGES = "resolve_charges"
    RESEND_WEBHOOKS = "resend_webhooks"
    CHANGE_WEBHOOKS = "change_webhooks"
    SEE_ACCESS = "see_access"
    MANAGE_ACCESS = "manage_access"
    CHANGE_CATALOGUE = "change_catalogue"
    APPROVE = "approve"


ALLOWED: dict[Action, frozenset[Role]] = {
    Action.SEE_ENGINE: frozenset(Role),
    Action.SEE_CUSTOMERS: frozenset(Role),
    Action.STOP_CHARGING: frozenset({Role.OPERATOR, Role.ADMIN}),
    Action.START_CHARGING: frozenset({Role.OPERATOR, Role.ADMIN}),
    Action.EXPORT_LISTS: frozenset({Role.OPERATOR, Role.FINANCE, Role.ADMIN}),
    Action.ACT_IN_BULK: frozenset({Role.OPERATOR, Role.ADMIN}),
    Action.CHANGE_SUBSCRIPTIONS: frozenset({Role.SUPPORT, Role.OPERATOR, Role.ADMIN}),
    Action.RETRY_INVOICES: frozenset({Role.SUPPORT, Role.OPERATOR, Role.ADMIN}),
    Action.VOID_INVOICES: frozenset({Role.OPERATOR, Role.FINANCE, Role.ADMIN}),
    Action.REFUND: frozenset({Role.OPERATOR, Role.FINANCE, Role.ADMIN}),
    Action.RESOLVE_CHARGES: frozenset({Role.OPERATOR, Role.FINANCE, Role.ADMIN}),
    Action.RESEND_WEBHOOKS: frozenset({Role.OPERATOR, Role.ADMIN}),
    Action.CHANGE_WEBHOOKS: frozenset({Role.ADMIN}),
    Action.SEE_ACCESS: frozenset({Role.OPERATOR, Role.FINANCE, Role.ADMIN}),
    Action.MANAGE_ACCESS: frozenset({Role.ADMIN}),
    Action.CHANGE_CATALOGUE: frozenset({Role.OPERATOR, Role.ADMIN}),
    Action.APPROVE: frozenset({Role.OPERATOR, Role.FINANCE, Role.ADMIN}),
}
"""The roles that may do each action; `docs/console.md` shows it, and a house test compares both."""


class Person(NamedTuple):
    """A person who may log in to the console; the password is stored only as a hash."""

    id: UUID
    name: str
    role: Role
    created_at: datetime
    password_changed_at: datetime
    logged_in_at: datetime | None
    disabled_at: datetime | None
    has_second_factor: bool

    def may(self, action: Action) -> bool:
        """Whether the person's role allows an action."""
        return self.disabled_at is None and self.role in ALLOWED[action]


class Session(NamedTuple):
    """A person who is logged in; beside it how many requests wait for a second person."""

    person: Person
    created_at: datetime
    used_at: datetime
    approvals_count: int

    def is_valid(self, now: datetime) -> bool:
        """Whether the session has neither been idle too long nor lasted too long."""
        return now < self.used_at + IDLE_MAX and now < self.created_at + SESSION_MAX


def role(word: str) -> Role:
    """Read a role. Raises InvalidValue."""
    try:
        return Role(word)
    except ValueError:
        raise InvalidValue(one_of("the role", [each.value for each in Role], word)) from None


def checked_person_name(name: str) -> str:
    """Return a person's name, or raise InvalidValue; spaces around it would hide in a list."""
    if name != name.strip():
        raise InvalidValue("the name of a person must not begin or end with a space")
    return checked_name("the name of a person", name, NAME_MAX)


def checked_password(password: str, name: str) -> str:
    """Return a password that is long enough, or raise InvalidValue; it is in no message."""
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        raise InvalidValue(
            f"the password must have {PASSWORD_MIN} to {PASSWORD_MAX} characters,"
            f" not {len(password)}"
        )
    if len(set(password)) < 4 or (len(name) > 3 and name.casefold() in password.casefold()):
        raise InvalidValue("the password must not contain the name, or repeat a few characters")
    return password
