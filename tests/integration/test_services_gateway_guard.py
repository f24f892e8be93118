"""A copied database with another gateway makes no call: every call of the gateway, by name."""

import ast
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from billing import services
from billing.domain.errors import BillingError
from billing.domain.events import OPERATOR
from billing.domain.outcomes import Gateway
from billing.domain.refund import RefundVerdict
from billing.services.collecting import charging, opening_batches, prechecks, reconciling
from billing.services.context import Context
from billing.services.money import refund_resolution, refunding
from billing.services.operating import charge_resolution, kill_switch, safety
from billing.services.reading import auditing
from billing.services.wallets import erasing, linking, unlinking
from billing.store.queries import engine as engine_rows
from billing.store.queries import wallets
from tests.integration.answering import answer_with
from tests.integration.engine import START, Engine
from tests.integration.test_services_charge_resolution import HOUR

CALLS = {
    name for name, member in vars(Gateway).items() if callable(member) and not name.startswith("_")
} - {"compose"}
"""What the gateway can be asked; `compose` sends nothing."""


UNSURE = ("asked", "unsure")
"""Whose refunds nobody knows the end of."""


class World:
    """One of everything that a service could call the gateway about."""

    def __init__(self, engine: Engine) -> None:
        engine.plan()
        self.people = {
            name: engine.customer()
            for name in ("declined", "lost", "parked", "paid", "due", *UNSURE)
        }
        of = {}
        engine.script("decline", self.people["declined"])
        for name in ("lost", "parked"):
            engine.script("drop_after", self.people[name])
        for name in UNSURE:
            engine.script("drop_after", self.people[name], "refund")
        for name in ("declined", "lost", "parked", "paid", *UNSURE):
            of[name] = engine.subscribe(self.people[name])
        engine.tick()
        self.refunds = {name: self._refund(engine, of[name]) for name in UNSURE}
        engine.tick()
        of["due"] = engine.subscribe(self.people["due"])
        opening_batches.open_due(engine.context)
        self.invoices = {name: engine.invoices(s)[0]["id"] for name, s in of.items()}
        self.charges = {
            name: engine.charges(of[name])[0]["id"] for name in ("lost", "parked", "paid")
        }
        self.refunds["paid"] = self._refund(engine, of["paid"])
        self.linking = engine.customer(linked=False)
        engine.bind(self.linking)
        self.wanted = engine.customer()
        unlinking.unlink(engine.context, self.wanted, OPERATOR)
        self.erased = engine.customer()
        erasing.erase(engine.context, self.erased, OPERATOR)
        self.unlinked = engine.customer(linked=False)
        self.unopened = engine.customer()
        for shut in (self.unopened, self.erased):
            engine.execute(
                "UPDATE wallets SET token_sealed = '\\x00' WHERE customer_id = :id", id=shut
            )
        engine.set_clock(START + 3 * 24 * HOUR)
        engine.execute(
            "UPDATE charges SET contradicted_at = now() WHERE id = :id", id=self.charges["paid"]
        )

    def _refund(self, engine: Engine, subscription: UUID) -> UUID:
        invoice = engine.invoices(subscription)[0]["id"]
        made = refunding.refund_invoice(engine.context, invoice, 1_000, OPERATOR)
        return UUID(made["refund"])


def delete_token_of(context: Context, customer: str) -> None:
    """Delete the token of a customer's wallet."""
    with context.database.transaction() as connection:
        wallet = wallets.live_of(connection, customer)
    assert wallet is not None
    unlinking.delete_token(context, wallet)


Drive = Callable[[Context, World, Engine], Any]

SITES: dict[str, Drive] = {
    "dispatch._news": lambda c, w, _e: charging.collect(c, [w.invoices["due"]]),
    "prechecks._look": lambda c, w, _e: prechecks.look(c, [w.invoices["declined"]]),
    "prechecks._shortfall": lambda c, w, _e: prechecks.look(c, [w.invoices["declined"]]),
    "reconciling._answer": lambda c, w, _e: reconciling.ask(c, [w.charges["lost"]]),
    "refunding._send": lambda c, w, _e: refunding.send_due(c, w.refunds["paid"]),
    "refunding._ask": lambda c, w, _e: refunding.send_due(c, w.refunds["asked"]),
    "refund_resolution.resolve_refund": lambda c, w, _e: refund_resolution.resolve_refund(
        c, w.refunds["unsure"], RefundVerdict.SUCCEEDED, replace(OPERATOR, reason="seen")
    ),
    "unlinking._deleted": lambda c, w, _e: delete_token_of(c, w.wanted),
    "unlinking._delete_listed": lambda c, w, _e: delete_token_of(c, w.erased),
    "linking._ask_for_link": lambda c, w, _e: linking.link(
        c, w.unlinked, "6281234567890", OPERATOR
    ),
    "linking._delete_lost_tokens": lambda c, w, _e: linking.link(
        c, w.unopened, "6281234567891", OPERATOR, replace=True
    ),
    "linking._poll": lambda c, w, _e: linking.refresh(c, w.linking),
    "linking.balance": lambda c, w, _e: linking.balance(c, w.people["paid"]),
    "auditing.audit_gateway": lambda c, _w, e: list(auditing.audit_gateway(c, START, e.now)),
    "safety.check_keys": lambda c, _w, _e: safety.check_keys(c),
    "charge_resolution.resolve_charge": lambda c, w, _e: charge_resolution.resolve_charge(
        c, w.charges["parked"], False, OPERATOR
    ),
    "charge_resolution._kept": lambda c, w, _e: charge_resolution.resolve_charge(
        c, w.charges["paid"], True, OPERATOR
    ),
}
"""Each function of a service that calls the gateway, and what leads to it."""
SAID = {
    "linking._ask_for_link", "linking._delete_lost_tokens", "linking._poll", "linking.balance",
    "auditing.audit_gateway", "charge_resolution.resolve_charge", "charge_resolution._kept",
    "refund_resolution.resolve_refund",
}  # fmt: skip
"""Those that a person waits for: they say why nobody was called."""


def sites() -> dict[str, set[str]]:
    """The functions of the services in which a call of the gateway is written, with its names."""
    found: dict[str, set[str]] = {}
    for path in Path(next(iter(services.__path__))).glob("**/*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef):
                continue
            for node in ast.walk(function):
                if not isinstance(node, ast.Attribute) or node.attr not in CALLS:
                    continue
                owner = node.value
                if isinstance(owner, ast.Attribute) and owner.attr == "gateway":
                    found.setdefault(f"{path.stem}.{function.name}", set()).add(node.attr)
    return found


def test_every_call_of_the_gateway_is_in_the_table() -> None:
    """Every gateway call has a case here that proves the guard against another gateway."""
    found = sites()

    assert found.keys() == SITES.keys()
    assert set().union(*found.values()) == CALLS


def test_the_real_gateway_is_called_and_a_foreign_one_is_not(engine: Engine) -> None:
    """The same work makes the call with the original database, and none with a copy."""
    engine.audited = False
    world, asked = World(engine), answer_with(engine)
    with engine.context.database.transaction() as connection:
        engine_rows.bind_gateway(connection, "api.elsewhere.test", "SOMEBODY", force=True)

    for site, drive in SITES.items():
        if site in SAID:
            with pytest.raises(BillingError, match=r"belongs to .*billing start-charging"):
                drive(engine.context, world, engine)
        else:
            drive(engine.context, world, engine)
        assert set(asked.calls) & CALLS == set(), site

    kill_switch.start_charging(engine.context, OPERATOR)
    wanted = sites()
    for site, drive in SITES.items():
        asked.calls.clear()
        drive(engine.context, world, engine)
        assert wanted[site] <= set(asked.calls), site
