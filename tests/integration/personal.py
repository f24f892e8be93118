"""A customer with distinctive personal values in every place that can hold one, and their search.

The search reads every column of every table. It also erases, and reads how far that is.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple, Self
from uuid import UUID, uuid4

from billing.domain.errors import NotConfigured
from billing.domain.events import OPERATOR, Actor
from billing.services.operating import importing
from billing.services.subscriptions import canceling, pausing
from billing.services.wallets import erasing, linking
from billing.store.vault import Vault
from tests.integration.engine import KEY, Engine
from tests.integration.web import Client, Web

DAY = timedelta(days=1)
NAME, EMAIL = "Zulfikar Prameswara", "zulfi.pram@mail.example"
NEEDLES = ("zulfikar", "prameswara", "zulfi.pram")
"""What must not be found, in lower case."""
WHY = f"{NAME} asked, {EMAIL}"
_TABLES = """SELECT table_name FROM information_schema.tables
    WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"""


class Person(NamedTuple):
    """A customer, with a phone that nobody else has: the pretend gateway remembers phones."""

    id: str
    digits: str

    @classmethod
    def new(cls) -> Self:
        """Return a person who is not stored yet."""
        return cls(f"C{uuid4().hex[:12]}", f"{uuid4().int % 10**8:08d}")

    @property
    def phone(self) -> str:
        """The phone as a person writes it."""
        return f"0812-{self.digits[:4]}-{self.digits[4:]}"

    @property
    def stored_phone(self) -> str:
        """The phone as it is stored."""
        return f"62812{self.digits}"

    @property
    def masked_phone(self) -> str:
        """The phone as it is shown."""
        return f"****{self.digits[4:]}"

    @property
    def why(self) -> str:
        """A reason that holds everything."""
        return f"{WHY}, {self.phone}"

    @property
    def needles(self) -> tuple[str, ...]:
        """What must not be found; the phone in each written form."""
        return (*NEEDLES, f"812{self.digits}", self.phone.removeprefix("0"), self.masked_phone)


def traces(engine: Engine, needles: Sequence[str] = NEEDLES) -> set[str]:
    """Return the table and column of each value that contains a needle, also an encrypted one."""
    vault, found = Vault([KEY]), set()
    for table in engine.rows(_TABLES):
        for row in engine.rows(f"SELECT * FROM {table['table_name']}"):
            for column, value in row.items():
                said = _spoken(vault, value).lower()
                if any(needle in said for needle in needles):
                    found.add(f"{table['table_name']}.{column}")
    return found


def _spoken(vault: Vault, value: Any) -> str:
    if not isinstance(value, bytes | memoryview):
        return str(value)
    raw = bytes(value)
    try:
        return vault.open(raw).decode()
    except NotConfigured:
        return raw.decode("latin-1")


def money(engine: Engine) -> list[dict[str, Any]]:
    """Return what an erasure must not change: amounts, dates, statuses and gateway numbers."""
    tables = {
        "invoices": "id, subscription_id, period_index, amount, credited, amount_refunded, status,"
        " created_at, paid_at, closed_at",
        "charges": "id, invoice_id, gateway_number, amount, kept, refunded, credited, status,"
        " fault, code, created_at, settled_at",
        "refunds": "id, charge_id, amount, status, purpose, created_at, settled_at",
        "credits": "id, customer_id, amount, remaining, paid_out, created_at",
    }
    return [
        {"table": table, **row}
        for table, columns in tables.items()
        for row in engine.rows(f"SELECT {columns} FROM {table} ORDER BY id")
    ]


def ended(engine: Engine) -> str:
    """Make a customer with a linked wallet, whose only subscription was paid and is canceled."""
    customer, subscription = engine.begun()
    engine.run()
    canceling.cancel(engine.context, subscription, OPERATOR)
    return customer


def state(engine: Engine, customer: str) -> tuple[bool, bool, str]:
    """Whether the erasure was requested, whether it was done, and the name."""
    [row] = engine.rows("SELECT * FROM customers WHERE id = :id", id=customer)
    return row["erase_requested_at"] is not None, row["erased_at"] is not None, row["name"]


def erase(engine: Engine, customer: str) -> None:
    """Request the erasure, and do what is due."""
    erasing.erase(engine.context, customer, Actor("shop", WHY))
    engine.run()


def linked(web: Web, client: Client) -> Person:
    """Make a customer over HTTP, with a linked wallet."""
    person, control = Person.new(), web.engine.gateway.control
    control("PUT", f"wallets/{person.id}", {"cash": 1_000_000})
    given = {"name": NAME, "phone": person.phone, "email": EMAIL, "reason": person.why}
    client.ok("PUT", f"/v1/customers/{person.id}", given)
    wanted = {"phone": person.phone, "reason": person.why}
    client.ok("POST", f"/v1/customers/{person.id}/wallet-links", wanted)
    control("POST", f"wallets/{person.id}/confirm")
    linking.refresh(web.engine.context, person.id)
    return person


def life(web: Web, client: Client) -> Person:
    """Live through everything that can store a personal value; end without a live subscription."""
    engine = web.engine
    # An empty wallet is asked about once a day, and not every few hours of these months.
    daily = engine.context.settings.model_copy(update={"balance_recheck_seconds": 86_400})
    engine.context = replace(engine.context, settings=daily)
    client.ok("PUT", "/v1/plans/gold", {"amount": 31_000, "every": "1 month"})
    client.ok("POST", "/v1/coupons", {"code": "WELCOME", "percent": 10, "cycles": 1})
    person = linked(web, client)
    customer, why = person.id, person.why
    wanted = {"customer": customer, "plan": "gold", "coupon": "WELCOME", "setup_fee": 5_000}
    first = client.ok("POST", "/v1/subscriptions", wanted | {"reason": why})["id"]
    engine.run()
    [invoice] = client.ok("GET", f"/v1/subscriptions/{first}")["invoices"]
    back = {"amount": 1_000, "reason": f"refund: {why}"}
    client.ok("POST", f"/v1/invoices/{invoice['id']}/refunds", back)
    extra = {"title": f"Towel for {NAME}", "amount": 2_000, "reason": why}
    client.ok("POST", f"/v1/subscriptions/{first}/extras", extra)
    given = {"amount": 3_000, "reason": f"credit: {why}"}
    client.ok("POST", f"/v1/customers/{customer}/credits", given)
    pausing.pause(engine.context, UUID(first), Actor("shop", why), at=pausing.PERIOD_END)
    pausing.pause(engine.context, UUID(first), Actor("shop", why))
    client.ok("POST", f"/v1/subscriptions/{first}/resume", {"reason": why})
    engine.advance(31 * DAY)
    _import(engine, person)
    engine.put_cash(customer, 0)
    engine.advance(40 * DAY)  # both fall behind
    engine.put_cash(customer, 1_000_000)
    for each in client.ok("GET", "/v1/invoices?status=open")["data"]:
        client.ok("POST", f"/v1/invoices/{each['id']}/void", {"reason": f"void: {why}"})
    gone = {"at": "period-end", "reason": f"cancel: {why}"}
    client.ok("POST", f"/v1/subscriptions/{first}/cancel", gone)
    engine.advance(40 * DAY)
    for each in client.ok("GET", "/v1/subscriptions")["data"]:
        if each["ended_at"] is None:
            path = f"/v1/subscriptions/{each['id']}/cancel"
            client.ok("POST", path, {"refund": "prorated", "reason": why})
    engine.run()
    return person


def _import(engine: Engine, person: Person) -> None:
    """Import a subscription of the customer that ran in another system, with the same token."""
    [wallet] = engine.wallets(person.id)
    token = engine.context.vault.open(wallet["token_sealed"]).decode()
    due = engine.now + 10 * DAY
    row = {
        "id": "old-1", "customer": person.id, "plan": "gold", "anchor": due.isoformat(),
        "next_due_at": due.isoformat(), "token": token, "masked_phone": person.phone,
    }  # fmt: skip
    [*_, report] = importing.subscriptions(engine.context, [(2, row)], OPERATOR)
    assert report.added == 1, report.bad
