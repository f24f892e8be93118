"""A console with something on every page; `console_places` has the addresses of its pages.

The rows carry text that attacks: names, ids, codes, reasons and errors with tags, quotes, marks of
direction and fifty emoji. A page with a name in its path that is new gets its value in `build`.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import UUID, uuid4

from billing.domain.approvals import Approvable
from billing.domain.events import Actor
from billing.domain.payloads import Json
from billing.domain.people import Role
from billing.domain.subscription import RefundPolicy
from billing.services.context import Context
from billing.services.money import coupons, crediting, extra_lines, refunding
from billing.services.operating import api_keys, approvals, bulk, held_rows, metrics, people
from billing.services.operating.held_rows import Kind
from billing.services.reading import effects
from billing.services.reading.inbox import Deed
from billing.services.subscriptions import canceling, pausing, subscribing
from billing.services.webhooks import endpoints, fanout
from billing.store.queries import pages
from tests.integration.console import PASSWORD
from tests.integration.engine import Engine

DAY = timedelta(days=1)
TAG = "\"><img src=x onerror=alert(1)>'<script>alert(1)"
EMOJI = "\U0001f600" * 50
TURNED = "\u202eabc\u2066\u200fdef"
"""Marks and overrides of direction: the door refuses them, and an older database may have them."""
ID = "\"><b>/'?#&"
BY = Actor("budi <i>", TAG)


class World(NamedTuple):
    """The rows of a console: by the names that routes have for them, and those to act on."""

    person: str
    """The administrator who walks."""

    ids: Mapping[str, object]
    more: Mapping[str, UUID]
    """Subscriptions, invoices, a charge and requests in a certain state, by words."""


def build(engine: Engine, name: str = "<b>Ani</b>") -> World:
    """Make the rows: a week of customers of every kind. Its dead ends are meant."""
    engine.audited = False
    people.create(engine.context, name, Role.ADMIN, PASSWORD, BY)
    engine.plan(amount=50_000, retries="2d 9d")
    engine.plan("U", every="1 week", amount=70_000, retries="1d", on_exhausted="unpaid")
    engine.plan(ID, amount=9_999_999_999, retries="1d")
    for code in ("SALE", "LATER"):
        coupons.create(engine.context, code, BY, percent=10)
    given_up = [_subscribed(engine, "U", cash=0) for _ in range(2)]
    engine.advance(2 * DAY)
    rich, paid = _rich(engine)
    poor = _subscribed(engine, "P", cash=10_000)
    more = _others(engine)
    access, endpoint = _access(engine), _webhooks(engine, more)
    engine.run()
    unknown = _subscribed(engine, "P", script="drop_before")
    turned = _subscribed(engine, "P", script="turn_away")
    engine.run()
    engine.set_clock(engine.now + timedelta(hours=1))
    _subscribed(engine, "P")
    engine.tick(["open_periods"])
    held_rows.set_aside(
        engine.context, Kind.SUBSCRIPTION, _subscribed(engine, "P", linked=False), ValueError(TAG)
    )
    engine.execute(
        "INSERT INTO heartbeats (tick, at, failed_at, error) VALUES ('reconcile', now(), now(), :e)"
        " ON CONFLICT (tick) DO UPDATE SET failed_at = now(), error = :e", e=TAG,
    )  # fmt: skip
    fanout.fan_out(engine.context)
    engine.execute(
        "UPDATE webhook_deliveries SET status = 'failed', next_attempt_at = NULL,"
        " settled_at = now(), attempts = 3, last_error = :error", error=TAG,
    )  # fmt: skip
    named(engine, {poor: EMOJI, turned: TURNED})
    key = uuid4().hex
    [done] = engine.invoices(given_up[1])
    order = bulk.Order(
        Deed.RETRY, Kind.INVOICE, "uncollectible", [bulk.Row(done["id"], rich, 70_000)]
    )
    bulk.run(engine.context, order, BY, key)
    [invoice], [charge] = engine.invoices(paid), engine.charges(paid)
    ids = {
        "customer_id": quote(rich, safe=""), "subscription_id": paid, "invoice_id": invoice["id"],
        "charge_id": charge["id"], "refund_id": engine.refunds(rich)[0]["id"], "key": key, **access,
        "endpoint_id": endpoint,
        "delivery_id": engine.rows("SELECT id FROM webhook_deliveries LIMIT 1")[0]["id"],
    }  # fmt: skip
    [asked] = engine.charges(unknown)
    more |= _requests(engine, name, more, order, invoice["id"])
    ids["approval_id"] = more["to approve"]
    metrics.count(engine.context)  # as the tick does, for pages that show hours and days
    return World(name, ids, more | {
        "owed": engine.invoices(poor)[0]["id"], "given up": engine.invoices(given_up[0])[0]["id"],
        "unknown": asked["invoice_id"], "unknown charge": asked["id"],
    })  # fmt: skip


def _subscribed(
    engine: Engine, plan: str, *, linked: bool = True, script: str = "", cash: int | None = None,
    **options: Any,
) -> UUID:  # fmt: skip
    customer = engine.customer(linked=linked, cash=cash)
    if script:
        engine.script(script, customer)
        engine.script("drop_before", customer, "status", times=None)
    return engine.subscribe(customer, plan, **options)


def _rich(engine: Engine) -> tuple[str, UUID]:
    """A customer with everything: refunds, credit, a coupon, an extra line, a paused plan."""
    paid = _subscribed(engine, "P", amount=80_000)
    customer = str(engine.subscription(paid)["customer_id"])
    engine.run()
    [invoice] = engine.invoices(paid)
    refunding.refund_invoice(engine.context, invoice["id"], 12_000, BY)
    engine.run()
    refunding.refund_invoice(engine.context, invoice["id"], 3_000, BY)
    crediting.grant(engine.context, customer, 5_000, BY)
    coupons.apply(engine.context, "SALE", paid, BY)
    extra_lines.add(engine.context, paid, TAG, 7_000, BY)
    return customer, paid


def _others(engine: Engine) -> dict[str, UUID]:
    """Subscriptions that ended, rest, will end, and are plain; and one with hostile ids."""
    ended = _subscribed(engine, "P", linked=False)
    canceling.cancel(engine.context, ended, BY)
    made = {name: _subscribed(engine, "P") for name in ("resting", "leaving", "plain")}
    engine.run()
    pausing.pause(engine.context, made["resting"], BY, until=engine.now + 9 * DAY)
    canceling.cancel(engine.context, made["leaving"], BY, at="period-end")
    subscribing.create_customer(
        engine.context, ID, name="W" * 50, phone="081234567890",
        email="\"<b>\"@mail.example", by=BY,
    )  # fmt: skip
    engine.subscribe(ID, ID, quantity=1)
    return made


def named(engine: Engine, names: Mapping[UUID, str]) -> None:
    """Name the customers: the gateway would refuse to charge some of these names."""
    engine.execute("UPDATE customers SET name = :name WHERE id <> :id", name=TAG, id=ID)
    for subscription, name in names.items():
        customer = engine.subscription(subscription)["customer_id"]
        engine.execute("UPDATE customers SET name = :name WHERE id = :id", name=name, id=customer)


def _access(engine: Engine) -> dict[str, object]:
    """A person and a key."""
    people.create(engine.context, "Dewi <b>", Role.SUPPORT, "correct horse battery", BY)
    made = api_keys.create(engine.context, "shop <b>", ["read"], BY)
    found = engine.one("SELECT id FROM people WHERE name = 'Dewi <b>'")
    return {"person_id": found, "key_id": made.row.id}


def _webhooks(engine: Engine, more: dict[str, UUID]) -> UUID:
    """An endpoint, and one to delete."""
    url = "https://shop.example/hook"
    one, other = (
        endpoints.create(engine.context, f"{url}?{n}", BY, description=TAG) for n in range(2)
    )
    more["endpoint"] = other.endpoint.id
    return one.endpoint.id


def _requests(
    engine: Engine, walker: str, more: Mapping[str, UUID], order: bulk.Order, paid: UUID
) -> dict[str, UUID]:
    """Requests for approval: of every kind, open, ended, and one of the person who walks."""
    people.create(engine.context, "Sari <i>", Role.OPERATOR, PASSWORD, BY)
    known = {each.name: each for each in people.listed(engine.context)}

    def asked(
        name: str, kind: Approvable, subject: object, subscription: UUID | None, given: Json
    ) -> UUID:
        def act(inside: Context) -> None:
            if kind is Approvable.REFUND:
                refunding.refund_invoice(inside, paid, 9_000, BY)
            else:
                canceling.cancel(inside, more["resting"], BY, refund=RefundPolicy.PRORATED)

        order = approvals.Order(kind, str(subject), subscription, given, uuid4().hex)
        seen, effect = 0, None
        if subscription is not None:
            with engine.context.database.transaction() as connection:
                seen = pages.newest_event(connection, subscription)
            effect = effects.preview(engine.context, subscription, act)
        amount = 70_000 if kind is Approvable.BULK else 9_000
        shown = approvals.Shown(amount, seen=seen, effect=effect)
        return approvals.ask(engine.context, order, shown, known[name], TAG)

    resting = more["resting"]
    refunded = engine.one("SELECT subscription_id FROM invoices WHERE id = :id", id=paid)
    many = approvals.arguments_of(order)
    cancel: Json = {"when": "now", "refund": "prorated", "unlink": True}
    ended = asked("Sari <i>", Approvable.CANCEL, resting, resting, cancel)
    approvals.decline(engine.context, ended, known[walker], TAG)
    return {
        "ended": ended,
        "to approve": asked("Sari <i>", Approvable.BULK, f"bulk/{uuid4().hex}", None, many),
        "to decline": asked("Sari <i>", Approvable.REFUND, paid, refunded, {"amount": 9_000}),
        "to withdraw": asked(walker, Approvable.CANCEL, resting, resting, cancel),
    }
