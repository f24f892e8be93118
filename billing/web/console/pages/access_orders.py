"""What an administrator can do: add people and keys, change people, end sessions, revoke keys.

A password, a secret of a second factor and a key are shown on the answer to the form that made
them, and nowhere else.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from starlette.responses import Response

from billing.domain.api_keys import Scope
from billing.domain.errors import AlreadyExists, InvalidValue
from billing.domain.events import Actor
from billing.domain.people import NAME_MAX, Role
from billing.services.context import Context
from billing.services.operating import access as acting
from billing.services.operating import api_keys, people
from billing.services.operating.api_keys import NewKey
from billing.services.operating.people import NewFactor
from billing.services.reading import access_page
from billing.web.console import orders
from billing.web.console.forms import Field, Form
from billing.web.console.labels import N_
from billing.web.console.orders import Fact, Order, Sent
from billing.web.console.pages import access
from billing.web.console.pages.ids import id_of
from billing.web.console.visits import PREFIX, Visit, redirect

T = TypeVar("T")

DAYS_MAX = 3_650
_ROLES: tuple[tuple[str, str], ...] = (
    (Role.VIEWER, N_("viewer: sees everything, changes nothing")),
    (Role.SUPPORT, N_("support: also changes subscriptions and retries invoices")),
    (Role.OPERATOR, N_("operator: everything but managing people, keys and webhooks")),
    (Role.FINANCE, N_("finance: refunds, voids, outcomes of charges, approvals, files of lists")),
    (Role.ADMIN, N_("admin: everything, also people, keys and webhooks")),
)
_SHOWN_ONCE = N_("A password is generated and shown once, on the next page.")
ADD_PERSON = Form(
    "add_person", N_("Add a person"), N_("Add the person"), _SHOWN_ONCE,
    (
        Field("name", N_("Name"), required=True, length=NAME_MAX,
              hint=N_("It is the actor of events, and is never used again.")),
        Field("role", N_("Role"), "choice", _ROLES, required=True),
    ),
)  # fmt: skip
ROLE = Form(
    "set_role", N_("Another role"), N_("Give this role"),
    N_("Every session of the person ends."),
    (Field("role", N_("Role"), "choice", _ROLES, required=True),),
)  # fmt: skip
PASSWORD = Form(
    "set_password", N_("New password"), N_("Make a new password"),
    N_("A password is generated and shown once, on the next page. The one before does not open the"
       " console any more, and every session of the person ends."),
    danger=True,
)  # fmt: skip
FACTOR = Form(
    "set_second_factor", N_("Second factor"), N_("Make a new secret"),
    N_("The secret for the app of the person is shown once, on the next page. From then on"
       " each log-in asks for its code, an earlier secret is not valid any more, and every session"
       " of the person ends."),
    danger=True,
)  # fmt: skip
NO_FACTOR = Form(
    "remove_second_factor", N_("Remove the second factor"), N_("Remove it"),
    N_("The person logs in with the password only. Every session of the person ends."), danger=True,
)  # fmt: skip
DISABLE = Form(
    "disable_person", N_("Disable the person"), N_("Disable the person"),
    N_("The person may not log in any more, and every session ends. The name stays taken."),
    danger=True,
)  # fmt: skip
ENABLE = Form(
    "enable_person", N_("Enable the person"), N_("Enable the person"),
    N_("The person may log in again, with the password of before."),
)  # fmt: skip
END_SESSIONS = Form(
    "end_sessions", N_("End all sessions"), N_("End all sessions"),
    N_("The person is logged out everywhere, and may log in again."), danger=True,
)  # fmt: skip
_SCOPES = (
    Field("read", N_("read: see everything"), "check"),
    Field("write", N_("write: customers, subscriptions, invoices"), "check"),
    Field("refund", N_("refund: give money back"), "check"),
    Field("admin", N_("admin: everything, also webhooks"), "check"),
)
ADD_KEY = Form(
    "add_key", N_("Add a key"), N_("Add the key"),
    N_("A key opens the HTTP interface for a program. It is shown once, on the next page."),
    (
        Field("name", N_("Name of the program"), required=True, length=api_keys.NAME_MAX),
        *_SCOPES,
        Field("days", N_("Valid for days"), "count", length=7, hint=N_("Empty: for ever.")),
    ),
)  # fmt: skip
REVOKE = Form(
    "revoke_key", N_("Revoke the key"), N_("Revoke it"),
    N_("Programs that use it are refused from now on. This cannot be undone."), danger=True,
)  # fmt: skip


def add_person(visit: Visit) -> Response:
    """Add a person, and show the password."""

    def act(sent: Sent) -> Response:
        name, by = visit.form.get("name", "").strip(), visit.actor
        role = sent.values.choice(ADD_PERSON, "role")
        password = people.generated()
        made = _at("name", lambda: acting.act_once(
            visit.context, sent.request,
            lambda inside: people.create(inside, name, role, password, by),
        ))  # fmt: skip
        back = order if made is None else order._replace(path=f"/access/people/{made.id}")
        return orders.shown_once(
            visit, back, N_("Password"), password if made else None, added=name
        )

    order = Order(ADD_PERSON, "/access", "/access/people/new", "", act,
                  lambda said: access.overview_page(visit, said))  # fmt: skip
    return orders.answer(visit, order)


def _at(field: str, act: Callable[[], T]) -> T:
    """Act; a refusal of what was typed is one of this field."""
    try:
        return act()
    except (AlreadyExists, InvalidValue) as refused:
        if refused.faults:
            raise
        raise InvalidValue(refused.said, field=field) from None


class _Person:
    """The person of an order, as now."""

    def __init__(self, visit: Visit) -> None:
        self.id: UUID = id_of(visit, "person_id")
        self.visit = visit
        self.found = access_page.of_person(visit.context, self.id)
        self.path = f"/access/people/{self.id}"

    def order(self, form: Form, name: str, act: Callable[[Sent], Response]) -> Order:
        """Return an order about the person."""
        facts = (Fact(N_("Sessions that end"), len(self.found.sessions), "count"),)
        return Order(
            form, self.path, f"{self.path}/{name}", self.found.person.name, act, self.refused,
            acting.mark_of(self.found.person), () if form is ENABLE else facts,
        )  # fmt: skip

    def refused(self, said: str) -> Response:
        """Show the page of the person with a refusal."""
        found = access_page.of_person(self.visit.context, self.id)
        return access.person_page(self.visit, found, said)

    def change(
        self, sent: Sent, act: Callable[[Context, str], T], *, takes_admin: bool = False
    ) -> T | None:
        """Act on the person as shown."""
        return acting.change(
            self.visit.context, self.id, sent.seen, sent.request, act, takes_admin=takes_admin
        )


def _changed(
    visit: Visit, form: Form, name: str, act: Callable[[Context, str, Actor], object],
    *, takes_admin: bool = False,
) -> Response:  # fmt: skip
    """Answer an order that changes a person and makes no secret."""
    it = _Person(visit)

    def do(sent: Sent) -> Response:
        by = visit.actor
        it.change(sent, lambda inside, who: act(inside, who, by), takes_admin=takes_admin)
        return redirect(f"{PREFIX}{it.path}?done={name}")

    return orders.answer(visit, it.order(form, name, do))


def role(visit: Visit) -> Response:
    """Give a person another role."""
    it = _Person(visit)

    def do(sent: Sent) -> Response:
        wanted, by = sent.values.choice(ROLE, "role"), visit.actor
        if wanted == it.found.person.role:
            raise InvalidValue("the person has this role already", field="role")
        it.change(
            sent, lambda inside, who: people.set_role(inside, who, wanted, by),
            takes_admin=wanted != Role.ADMIN,
        )  # fmt: skip
        return redirect(f"{PREFIX}{it.path}?done=role")

    form = ROLE.with_field("role", value=it.found.person.role.value)
    return orders.answer(visit, it.order(form, "role", do))


def disable(visit: Visit) -> Response:
    """Let a person log in no more."""
    return _changed(visit, DISABLE, "disable", people.disable, takes_admin=True)


def enable(visit: Visit) -> Response:
    """Let a person log in again."""
    return _changed(visit, ENABLE, "enable", people.enable)


def end_sessions(visit: Visit) -> Response:
    """End every session of a person."""
    return _changed(visit, END_SESSIONS, "end-sessions", people.end_sessions)


def remove_factor(visit: Visit) -> Response:
    """Remove the second factor of a person."""
    return _changed(visit, NO_FACTOR, "no-second-factor", people.remove_second_factor)


def password(visit: Visit) -> Response:
    """Generate a password for a person, and show it."""
    it = _Person(visit)

    def do(sent: Sent) -> Response:
        made, by = people.generated(), visit.actor
        done = it.change(sent, lambda inside, who: people.set_password(inside, who, made, by))
        return orders.shown_once(visit, order, N_("Password"), made if done else None)

    order = it.order(PASSWORD, "password", do)
    return orders.answer(visit, order)


def factor(visit: Visit) -> Response:
    """Make a second factor for a person, and show its secret."""
    it = _Person(visit)

    def do(sent: Sent) -> Response:
        by = visit.actor

        def act(inside: Context, who: str) -> NewFactor:
            return people.set_second_factor(inside, who, by)

        made = it.change(sent, act)
        more = () if made is None else (Fact(N_("The same as an address for apps"), made.address),)
        secret = None if made is None else made.secret
        return orders.shown_once(visit, order, N_("Secret for the app"), secret, more)

    order = it.order(FACTOR, "second-factor", do)
    return orders.answer(visit, order)


def add_key(visit: Visit) -> Response:
    """Add an API key, and show it."""

    def act(sent: Sent) -> Response:
        scopes = [each.value for each in Scope if sent.values.is_checked(each.value)]
        if not scopes:
            raise InvalidValue("a key needs at least one of these scopes", field="admin")
        days, name, by = sent.values.count("days"), visit.form.get("name", "").strip(), visit.actor
        if days is not None and days > DAYS_MAX:
            raise InvalidValue(f"write a whole number from 1 to {DAYS_MAX:,}", field="days")
        until = None if days is None else visit.context.clock.now() + timedelta(days=days)

        def create(inside: Context) -> NewKey:
            return api_keys.create(inside, name, scopes, by, until)

        made = _at("name", lambda: acting.act_once(visit.context, sent.request, create))
        return orders.shown_once(
            visit, order, N_("API key"), None if made is None else made.key, added=name
        )

    order = Order(ADD_KEY, "/access", "/access/keys/new", "", act,
                  lambda said: access.overview_page(visit, said))  # fmt: skip
    return orders.answer(visit, order)


def revoke_key(visit: Visit) -> Response:
    """Revoke an API key."""
    key_id = id_of(visit, "key_id")
    key = access_page.of_key(visit.context, key_id)

    def act(sent: Sent) -> Response:
        by = visit.actor
        acting.act_once(
            visit.context, sent.request, lambda inside: api_keys.revoke(inside, str(key_id), by)
        )
        return redirect(f"{access.HERE}?done=revoke")

    facts = (
        Fact(N_("Begins with"), f"{key.prefix}…"), Fact(N_("Scopes"), " ".join(key.scopes)),
        Fact(N_("Last used"), key.last_used_at, "instant"),
    )  # fmt: skip
    order = Order(REVOKE, "/access", f"/access/keys/{key_id}/revoke", key.name, act,
                  lambda said: access.overview_page(visit, said), facts=facts)  # fmt: skip
    return orders.answer(visit, order)
