"""A console with something on every page, and the addresses of all of its pages.

The rows carry text that attacks: names, ids, codes, reasons and errors with tags, quotes, marks of
direction and fifty emoji. A page that comes later joins by the routes; a name in its path that is
new gets its value in `build`.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import UUID, uuid4

from billing.domain.events import Actor
from billing.domain.people import Role
from billing.services.money import coupons, crediting, extra_lines, refunding
from billing.services.operating import api_keys, bulk, held_rows, people
from billing.services.operating.held_rows import Kind
from billing.services.reading.inbox import Deed
from billing.services.subscriptions import canceling, pausing, subscribing
from billing.services.webhooks import endpoints, fanout
from billing.web.console.filtering import Kind as List
from billing.web.console.routes import PAGES
from tests.integration.engine import Engine

DAY = timedelta(days=1)
TAG = "\"><img src=x onerror=alert(1)>'<script>alert(1)"
EMOJI = "\U0001f600" * 50
TURNED = "\u202eabc\u2066\u200fdef"
"""Marks and overrides of direction: the door refuses them, and an older database may have them."""
ID = "\"><b>/'?#&"
BY = Actor("budi <i>", TAG)
_NAME = re.compile(r"\{(\w+)(?::path)?\}")
LISTS = tuple(List)
LEADS_ON = ("/charges/{charge_id}", "/refunds/{refund_id}")
"""Routes that lead to a row on another page."""


class Stop(NamedTuple):
    """A page: the name of its picture, its address within the console, and its status."""

    name: str
    path: str
    status: int = 200


class World(NamedTuple):
    """The rows of a console: by the names that routes have for them, and those to act on."""

    ids: Mapping[str, object]
    more: Mapping[str, UUID]
    """Subscriptions, invoices and a charge in a certain state, by words."""


def build(engine: Engine) -> World:
    """Make the rows: a week of customers of every kind. Its dead ends are meant."""
    engine.audited = False
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
    return World(ids, more | {
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


def filled(path: str, ids: Mapping[str, object]) -> str:
    """Fill the path of a route."""
    return _NAME.sub(lambda found: str(ids[found[1]]), path)


def stops(ids: Mapping[str, object], routes: tuple[Any, ...] = PAGES) -> Iterator[Stop]:
    """Yield every page that a logged-in person can open, by the routes; then more states of them.

    Without a row (an empty console) a page of one says that it does not exist.
    """
    for page in routes:
        if page.method != "GET" or page.action is None or "/export/" in page.path:
            continue
        known = all(name in ids for name in _NAME.findall(page.path))
        if known and page.path not in {*LEADS_ON, *FORMS, "/attention/bulk"}:
            yield Stop(_slug(page.path), filled(page.path, ids))
    yield from MORE
    if ids:
        yield Stop("customer-hostile", f"/customers/{quote(ID, safe='')}")


def _slug(path: str) -> str:
    return re.sub(r"\W+", "-", re.sub(r"\{[^}]*\}", "x", path)).strip("-")


def _typed(**query: str) -> str:
    return "&".join(f"{name}={quote(value)}" for name, value in query.items())


MORE = (
    Stop("search-many", f"/search?{_typed(q='alert')}"),
    Stop("search-nothing", f"/search?{_typed(q=TAG)}"),
    Stop("search-turned", f"/search?{_typed(q=TURNED)}"),
    Stop("search-long", f"/search?{_typed(q='x' * 201)}"),
    Stop("attention-some", "/attention?kind=invoice&cause=uncollectible"),
    Stop("attention-hostile", f"/attention?{_typed(kind=TAG, cause=TAG, customer=TAG)}"),
    Stop("attention-wrong", "/attention?after=x", 422),
    Stop("bulk-retry", "/attention/bulk?kind=invoice&cause=uncollectible"),
    Stop("bulk-release", "/attention/bulk?kind=subscription&cause=held"),
    Stop("bulk-nothing", "/attention/bulk?kind=invoice&cause=held"),
    Stop("ahead-plan", "/ahead?plan=P"),
    Stop("ahead-day", f"/ahead?{_typed(day='2026-02-09', plan=ID)}"),
    Stop("ahead-hostile", f"/ahead?{_typed(plan=TAG)}"),
    Stop("ahead-wrong", f"/ahead?{_typed(day=TAG)}", 422),
    Stop("charges-none", "/charges?status=pending"),
    Stop("charges-wrong", f"/charges?{_typed(customer=TAG, plan=TAG, status=TAG, to=TAG)}", 422),
    Stop("invoices-wrong", f"/invoices?{_typed(of=TAG, at=TAG, after=TAG)}", 422),
    Stop("customers-wrong", f"/customers?{_typed(**{'from': TAG})}", 422),
    Stop("page-unknown", f"/{quote(TAG)}", 404),
    Stop("customer-unknown", f"/customers/{quote(TAG)}", 404),
    Stop("subscription-unknown", f"/subscriptions/{quote(ID, safe='')}", 404),
)
"""States of pages that no route names: filters, nothing found, and what is wrong."""


class Act(NamedTuple):
    """An action: the path of its form as in the routes, what is filled in, and for which rows.

    `of` has the words of `World.more` for the names in the path; the others are those of `ids`.
    Most are sent for the preview, and again to confirm it; an order is done at once.
    """

    path: str
    fields: Mapping[str, str]
    of: Mapping[str, str] = {}
    sendings: int = 2
    is_order: bool = False

    @property
    def name(self) -> str:
        """Its name, for a picture and as a part of its reason."""
        return _slug(self.path)

    def at(self, world: World) -> str:
        """The address of its form."""
        return filled(self.path, {**world.ids, **{k: world.more[v] for k, v in self.of.items()}})


def acts() -> list[Act]:
    """Every action that has a form of its own; each is allowed when the world was built."""
    subscription, invoice = "/subscriptions/{subscription_id}", "/invoices/{invoice_id}"
    return [
        Act(f"{subscription}/pause", {"at": "now", "resume_at": "2026-03-20T10:30"},
            {"subscription_id": "plain"}),
        Act(f"{subscription}/resume", {"start": "anchor"}, {"subscription_id": "resting"}),
        Act(f"{subscription}/withdraw-cancel", {}, {"subscription_id": "leaving"}, sendings=1),
        Act(f"{subscription}/change", {"at": "period-end", "quantity": "2"}),
        Act(f"{subscription}/coupon", {"coupon": "LATER"}),
        Act(f"{subscription}/extra", {"title": TAG, "amount": "10.000"}),
        Act(f"{subscription}/cancel", {"at": "period-end", "unlink": "yes"}),
        Act(f"{invoice}/refund", {"amount": "1.000"}),
        Act(f"{invoice}/retry", {}, {"invoice_id": "owed"}, sendings=1),
        Act(f"{invoice}/void", {}, {"invoice_id": "given up"}, sendings=1),
        Act(f"{invoice}/charges/{{charge_id}}/resolve", {"outcome": "not_paid", "reference": "x"},
            {"invoice_id": "unknown", "charge_id": "unknown charge"}),
        *orders(),
    ]  # fmt: skip


def orders() -> list[Act]:
    """Actions with an endpoint, a person or a key: one form, which is done when it is sent."""
    endpoint, person = "/webhooks/{endpoint_id}", "/access/people/{person_id}"
    url = "https://shop.example/new"
    made = [
        Act("/webhooks/new", {"url": url, "event_types": "invoice.*", "description": TAG}),
        Act(f"{endpoint}/change", {"description": "changed"}),
        Act(f"{endpoint}/disable", {}),
        Act(f"{endpoint}/enable", {}),
        Act(f"{endpoint}/rotate", {}),
        Act(f"{endpoint}/replay", {"after": "0"}, sendings=2),
        Act(f"{endpoint}/delete", {}, {"endpoint_id": "endpoint"}),
        Act("/webhooks/deliveries/{delivery_id}/resend", {}),
        Act("/access/people/new", {"name": "Eka", "role": "viewer"}),
        Act(f"{person}/role", {"role": "operator"}),
        Act(f"{person}/password", {}),
        Act(f"{person}/second-factor", {}),
        Act(f"{person}/no-second-factor", {}),
        Act(f"{person}/disable", {}),
        Act(f"{person}/enable", {}),
        Act(f"{person}/end-sessions", {}),
        Act("/access/keys/new", {"name": "shop 2", "read": "yes"}),
        Act("/access/keys/{key_id}/revoke", {}),
    ]
    return [
        act._replace(is_order=True, sendings=2 if act.path.endswith("/replay") else 1)
        for act in made
    ]


FORMS = frozenset(act.path for act in acts())


OTHER_FORMS = frozenset(
    {
        "/login",
        "/logout",
        "/display",
        "/charging/stop",
        "/charging/start",
        "/attention/bulk",
        "/webhooks/{endpoint_id}/test",
    }
)
"""Forms on pages that have something else too."""
