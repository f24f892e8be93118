"""Orders: what a person does with an endpoint, a person or a key: one form, its effect, one button.

The form carries an idempotency key, so that a double click or a reload acts once, and a mark of the
state that was shown, so that nothing is done to what another person has changed since.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple
from uuid import uuid4

from starlette.responses import Response

from billing.domain.errors import BillingError, InvalidValue
from billing.services.context import Request
from billing.services.operating.confirming import Changed
from billing.services.reading.webhook_pages import COUNT_MAX
from billing.web.console.deeds import KEY
from billing.web.console.forms import Form, Values
from billing.web.console.visits import PREFIX, Visit


class Fact(NamedTuple):
    """A line about what the order does: a label, marked for translation, and what was read."""

    label: str
    value: object
    kind: str = "text"


class Sent(NamedTuple):
    """What came with a confirmed form: its values, the mark of the state, and the command."""

    values: Values
    seen: str
    request: Request


class Order(NamedTuple):
    """An order: its form, the page that it belongs to, and what it does.

    `path` is the address below `/console` of the page where it leads back, `place` its own.
    `seen` is the mark of the state, `kept` what the form carries from the step before.
    """

    form: Form
    path: str
    place: str
    title: str
    act: Callable[[Sent], Response]
    refused: Callable[[str], Response]
    seen: str = ""
    facts: tuple[Fact, ...] = ()
    kept: Mapping[str, str] = {}


def answer(visit: Visit, order: Order) -> Response:
    """Answer a visit of an order's address: with GET its form, with POST what follows."""
    if visit.request.method == "GET" or not visit.form.get("key"):
        return ask(visit, order)
    try:
        return order.act(_sent(visit, order))
    except Changed:
        return ask(visit, order, status=409)
    except BillingError as refused:
        fault = _at_fields(refused, order)
        if fault is None:
            return order.refused(refused.said)
        return ask(visit, order, status=422, fault=fault, key=visit.form["key"])


def ask(
    visit: Visit, order: Order, *, status: int = 200, fault: Mapping[str, str] | None = None,
    key: str = "",
) -> Response:  # fmt: skip
    """Show the form; a key that was refused stays, because nothing was done with it."""
    return visit.page(
        "order.html", status, form=order.form, order=order, fault=fault or {}, values=visit.form,
        key=key if KEY.fullmatch(key) else str(uuid4()), has_changed=status == 409,
        here=f"{PREFIX}{order.path}", count_max=COUNT_MAX,
    )  # fmt: skip


def _sent(visit: Visit, order: Order) -> Sent:
    """Read what was sent. Raises Changed for a form of another page, InvalidValue for no reason."""
    assert visit.person is not None  # noqa: S101 - the route needs an action
    key = visit.form.get("key", "")
    if not KEY.fullmatch(key):
        raise Changed("this form was not made by this console")
    by = visit.actor
    names = [each.name for each in order.form.fields] + list(order.kept)
    arguments: dict[str, object] = {name: visit.form.get(name, "") for name in names}
    request = Request(
        f"api:console:{visit.person.id}:{key}", f"console.{order.form.name}",
        {**arguments, "subject": order.place.strip("/"), "reason": by.reason},
    )  # fmt: skip
    return Sent(Values(visit.form, visit.display), visit.form.get("seen", ""), request)


def _at_fields(refused: BillingError, order: Order) -> dict[str, str] | None:
    """Return what is wrong by field; None for what is no matter of the form."""
    known = {"reason", *(each.name for each in order.form.fields)}
    found = {each.field if each.field in known else "": each.said for each in refused.faults}
    if not found and isinstance(refused, InvalidValue):
        return {"": refused.said}
    return found or None


def shown_once(
    visit: Visit,
    order: Order,
    what: str,
    secret: str | None,
    more: tuple[Fact, ...] = (),
    *,
    added: str = "",
    warning: str = "",
) -> Response:
    """Answer with a secret that is not shown again; None for a form that was sent before.

    `added` is the name of what was added, and `warning` a text that is marked for translation.
    """
    return visit.page(
        "secret.html", title=order.form.title, what=what, about=order.title, added=added,
        warning=warning, secret=secret, facts=more,
        back=f"{PREFIX}{order.path}", here=f"{PREFIX}{order.path}",
    )  # fmt: skip
