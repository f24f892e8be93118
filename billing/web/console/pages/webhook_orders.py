"""What a person can do with webhooks: add, change, disable, rotate, delete; resend and replay."""

from collections.abc import Callable
from uuid import UUID

from starlette.responses import Response

from billing.domain.addresses import URL_MAX
from billing.domain.errors import BillingError, InvalidValue
from billing.domain.paging import Page
from billing.domain.webhooks import DeliveryStatus
from billing.services.context import Context
from billing.services.reading import webhook_pages
from billing.services.reading.webhook_pages import EndpointPage
from billing.services.webhooks import endpoints, resending, reviewed
from billing.services.webhooks.endpoints import Changes, WithSecret
from billing.store.queries.webhooks import Endpoint
from billing.web.console import orders
from billing.web.console.forms import Field, Form
from billing.web.console.labels import N_
from billing.web.console.orders import Fact, Order, Sent
from billing.web.console.pages import webhooks
from billing.web.console.pages.ids import id_of
from billing.web.console.visits import PREFIX, Visit, redirect

_SECOND = N_("Another endpoint has the same address: this receiver is told of events twice.")
TYPES_MAX = 2_000
DIGITS_MAX = 18
_FIELDS = (
    Field("url", N_("Address"), "url", required=True, length=URL_MAX,
          hint=N_("By https, for example https://shop.example/hook")),
    Field("event_types", N_("Event types"), length=TYPES_MAX,
          hint=N_("With blanks between them, for example: invoice.* charge.declined. Empty: all.")),
    Field("description", N_("Description"), length=endpoints.DESCRIPTION_MAX),
)  # fmt: skip
ADD = Form(
    "add_webhook", N_("Add an endpoint"), N_("Add it"),
    N_("It receives the events from now on. Its secret is shown once, on the next page."), _FIELDS,
)  # fmt: skip
CHANGE = Form(
    "change_webhook", N_("Change the endpoint"), N_("Change it"),
    N_("Deliveries that are pending go to the new address, too."), _FIELDS,
)  # fmt: skip
ENABLE = Form(
    "enable_webhook", N_("Enable the endpoint"), N_("Enable it"),
    N_("It receives the events from now on. A replay sends it those that it missed."),
)  # fmt: skip
DISABLE = Form(
    "disable_webhook", N_("Disable the endpoint"), N_("Disable it"),
    N_("It receives no events, and its pending deliveries are canceled. A replay can send them"
       " after it is enabled again."),
    danger=True,
)  # fmt: skip
ROTATE = Form(
    "rotate_webhook", N_("New secret"), N_("Make a new secret"),
    N_("The new secret is shown once, on the next page. The present one also signs for 24 hours;"
       " one from before it does not sign any more."),
    danger=True,
)  # fmt: skip
DELETE = Form(
    "delete_webhook", N_("Delete the endpoint"), N_("Delete it"),
    N_("It is gone at once, with all its deliveries. This cannot be undone."), danger=True,
)  # fmt: skip
RESEND = Form(
    "resend_webhook", N_("Send again"), N_("Send it again"),
    N_("It is sent with the next tick, with all its attempts, and keeps its webhook-id: a receiver"
       " that has seen it can ignore it."),
)  # fmt: skip
REPLAY = Form(
    "replay_webhook", N_("Replay events"), N_("Count them"),
    N_("Events of a range of positions are sent again, also those that were never sent. Those that"
       " were received keep their webhook-id. Nothing is sent before you have seen how many."),
    (
        Field("after", N_("After position"), "count", required=True, length=DIGITS_MAX,
              hint=N_("The last position that is not sent; 0 begins with the first event.")),
        Field("last", N_("Up to position"), "count", length=DIGITS_MAX,
              hint=N_("Empty: up to the newest event.")),
    ),
)  # fmt: skip
REPLAY_COUNTED = REPLAY._replace(
    button=N_("Send them"), fields=(),
    explains=N_("These events are sent again with the next ticks."),
)  # fmt: skip


def add(visit: Visit) -> Response:
    """Add an endpoint, and show its secret."""
    form = visit.form

    def act(sent: Sent) -> Response:
        is_used = reviewed.is_used(visit.context, sent.request)
        made = endpoints.create(
            visit.context, form.get("url", "").strip(), visit.actor, event_types=_types(visit),
            description=form.get("description", "").strip(), request=sent.request,
        )  # fmt: skip
        back = order._replace(path=f"/webhooks/{made.endpoint.id}")
        found = webhook_pages.overview(visit.context).endpoints
        is_second = sum(each.endpoint.url == made.endpoint.url for each in found) > 1
        return orders.shown_once(
            visit, back, N_("Secret"), None if is_used else made.secret,
            added=made.endpoint.url, warning=_SECOND if is_second else "",
        )  # fmt: skip

    def refused(said: str) -> Response:
        return orders.ask(visit, order, status=422, fault={"": said})

    order = Order(ADD, "/webhooks", "/webhooks/new", "", act, refused)
    return orders.answer(visit, order)


def _types(visit: Visit) -> list[str]:
    return visit.form.get("event_types", "").replace(",", " ").split()


class _Endpoint:
    """The endpoint of an order, as it is now."""

    def __init__(self, visit: Visit) -> None:
        self.id: UUID = id_of(visit, "endpoint_id")
        self.visit = visit
        self.found: EndpointPage = self._read()
        self.path = f"/webhooks/{self.id}"
        self.seen = reviewed.mark_of(self.found.health.endpoint)

    def _read(self) -> EndpointPage:
        return webhook_pages.of_endpoint(self.visit.context, self.id, None, Page(webhooks.PAGE))

    def refused(self, said: str) -> Response:
        """Show the page of the endpoint with a refusal."""
        return webhooks.endpoint_page(self.visit, self._read(), refused=said)

    def order(
        self, form: Form, name: str, act: Callable[[Sent], Response], *facts: Fact
    ) -> Order:  # fmt: skip
        """Return an order about the endpoint."""
        return Order(
            form, self.path, f"{self.path}/{name}", self.found.health.endpoint.url, act,
            self.refused, self.seen, facts,
        )  # fmt: skip

    def done(self, name: str) -> Response:
        """Lead back to the page of the endpoint."""
        return redirect(f"{PREFIX}{self.path}?done={name}")


def _update(
    visit: Visit,
    form: Form,
    name: str,
    changes: Callable[[Endpoint], Changes],
    *,
    enables: bool = False,
) -> Response:
    it = _Endpoint(visit)
    row = it.found.health.endpoint

    def act(sent: Sent) -> Response:
        wanted, by = changes(row), visit.actor

        def update(inside: Context) -> object:
            return endpoints.update(inside, it.id, wanted, by, sent.request)

        reviewed.change(visit.context, it.id, sent.seen, sent.request, update, enables=enables)
        return it.done(name)

    present = {"url": row.url, "event_types": " ".join(row.event_types),
               "description": row.description or ""}  # fmt: skip
    for field in form.fields:
        form = form.with_field(field.name, value=present[field.name])
    pending = it.found.health.count(DeliveryStatus.PENDING)
    facts = () if enables else (Fact(N_("Pending deliveries"), pending, "many"),)
    return orders.answer(visit, it.order(form, name, act, *facts))


def change(visit: Visit) -> Response:
    """Change an endpoint's address, types or description."""

    def changes(row: Endpoint) -> Changes:
        url, described = (visit.form.get(name, "").strip() for name in ("url", "description"))
        types = sorted(set(_types(visit)))
        return Changes(
            None if url == row.url else url, None if types == row.event_types else types,
            None if described == (row.description or "") else described,
        )  # fmt: skip

    return _update(visit, CHANGE, "change", changes)


def enable(visit: Visit) -> Response:
    """Enable an endpoint."""
    return _update(visit, ENABLE, "enable", lambda _: Changes(enabled=True), enables=True)


def disable(visit: Visit) -> Response:
    """Disable an endpoint."""
    return _update(visit, DISABLE, "disable", lambda _: Changes(enabled=False))


def rotate(visit: Visit) -> Response:
    """Make a new secret, and show it."""
    it = _Endpoint(visit)

    def act(sent: Sent) -> Response:
        is_used, by = reviewed.is_used(visit.context, sent.request), visit.actor

        def rotated(inside: Context) -> WithSecret:
            return endpoints.rotate_secret(inside, it.id, by, sent.request)

        made = reviewed.change(visit.context, it.id, sent.seen, sent.request, rotated)
        return orders.shown_once(visit, order, N_("Secret"), None if is_used else made.secret)

    order = it.order(ROTATE, "rotate", act)
    return orders.answer(visit, order)


def delete(visit: Visit) -> Response:
    """Delete an endpoint."""
    it = _Endpoint(visit)

    def act(sent: Sent) -> Response:
        by = visit.actor
        reviewed.change(
            visit.context, it.id, sent.seen, sent.request,
            lambda inside: endpoints.delete(inside, it.id, by, sent.request),
        )  # fmt: skip
        return redirect(f"{webhooks.HERE}?done=delete")

    pending = it.found.health.count(DeliveryStatus.PENDING)
    facts = (Fact(N_("Pending deliveries"), pending, "many"),)
    return orders.answer(visit, it.order(DELETE, "delete", act, *facts))


def send_test(visit: Visit) -> Response:
    """Send a test now, and show what the receiver answered; nothing is stored."""
    it = _Endpoint(visit)
    try:
        found = endpoints.send_test(visit.context, it.id)
    except BillingError as refused:
        return it.refused(refused.said)
    return webhooks.endpoint_page(visit, it.found, tested=found)


def resend(visit: Visit) -> Response:
    """Send one delivery again."""
    delivery_id = id_of(visit, "delivery_id")
    found = webhook_pages.of_delivery(visit.context, delivery_id)
    path = f"/webhooks/deliveries/{delivery_id}"

    def act(sent: Sent) -> Response:
        reviewed.resend(visit.context, delivery_id, sent.seen, visit.actor, sent.request)
        return redirect(f"{PREFIX}{path}?done=resend")

    def refused(said: str) -> Response:
        return webhooks.delivery_page(
            visit, webhook_pages.of_delivery(visit.context, delivery_id), said
        )

    facts = (Fact(N_("State"), found.row.status, "label"),
             Fact(N_("Attempts"), found.row.attempts_count, "count"))  # fmt: skip
    order = Order(
        RESEND, path, f"{path}/resend", f"{found.row.type} → {found.endpoint.url}", act, refused,
        found.row.status.value, facts,
    )  # fmt: skip
    return orders.answer(visit, order)


def replay(visit: Visit) -> Response:
    """Send a range of events again: first their number, then the button."""
    it = _Endpoint(visit)
    if visit.form.get("counted") == "yes":
        try:
            order = _counted(it)
        except BillingError as refused:
            return it.refused(refused.said)
        return orders.answer(visit, order)

    def act(sent: Sent) -> Response:
        order = _counted(it)
        return orders.ask(visit, order._replace(seen=sent.seen))

    form = REPLAY.with_field("after", value=str(it.found.last_received or 0))
    order = it.order(form, "replay", act, Fact(N_("Newest position"), it.found.end, "count"))
    return orders.answer(visit, order)


def _counted(it: _Endpoint) -> Order:
    """Return the order with the range of the form, counted. Raises InvalidValue or IllegalMove."""
    visit = it.visit
    after, last = (visit.form.get(name, "").strip() for name in ("after", "last"))
    wanted = resending.measure(
        visit.context, it.id, _position(after, "after"), _position(last, "last") if last else None
    )
    if not wanted.events:
        raise InvalidValue("no event of this range is of the endpoint's types", field="after")

    def act(sent: Sent) -> Response:
        reviewed.replay(visit.context, it.id, sent.seen, wanted, visit.actor, sent.request)
        return it.done("replay")

    facts = (
        Fact(N_("Events"), wanted.events, "count"),
        Fact(N_("After position"), wanted.after, "count"),
        Fact(N_("Up to position"), wanted.until, "count"),
    )
    kept = {"after": str(wanted.after), "last": str(wanted.until), "counted": "yes",
            "reason": visit.form.get("reason", "")}  # fmt: skip
    return it.order(REPLAY_COUNTED, "replay", act, *facts)._replace(kept=kept)


def _position(written: str, field: str) -> int:
    """Read a position of the feed. Raises InvalidValue."""
    plain = written.replace(",", "").replace(".", "")
    if not (plain.isascii() and plain.isdigit() and len(plain) <= DIGITS_MAX):
        raise InvalidValue("write a position of the event feed, such as 4711", field=field)
    return int(plain)
