"""A command that a page names is accepted: each is typed, and what it does is undone again."""

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from sqlalchemy import Connection

from billing import cli
from billing.cli import engine as behind
from billing.domain.events import OPERATOR
from billing.services.collecting import claiming
from billing.services.context import Context
from billing.services.money import refunding
from billing.services.operating import invoice_actions
from billing.services.reading import attention
from billing.services.subscriptions import canceling, pausing
from billing.services.wallets import unlinking
from billing.store.session import Database
from tests.integration.command import Billing
from tests.integration.engine import Engine

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
NOUNS = {
    "subscriptions": "subscription", "invoices": "invoice", "charges": "charge",
    "refunds": "refunds",
}  # fmt: skip
Story = Callable[[Engine], object]


class Undone:
    """A database whose transactions are parts of one that is rolled back in the end."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A part of the whole."""
        with self._connection.begin_nested():
            yield self._connection


def accepted(engine: Engine, command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Type a command, undo what it did, and return why it was refused; empty when it was not."""
    words = shlex.split(command.replace("62…", "6281234567890").replace('"…"', "why"))
    assert words[0] == "billing", command
    tries = [words[1:]]
    if "…" in words:
        choices = ("succeeded", "declined", "returned-elsewhere", "kept")
        tries = [[choice if word == "…" else word for word in words[1:]] for choice in choices]
    why = ""
    for each in tries:
        with engine.undone() as connection, pytest.MonkeyPatch.context() as patch:
            context = replace(
                engine.context, database=cast("Database", Undone(connection)),
            )  # fmt: skip

            @contextmanager
            def whole(context: Context = context) -> Iterator[Context]:
                yield context

            @contextmanager
            def rows(context: Context = context) -> Iterator[Database]:
                yield context.database

            patch.setattr(behind, "engine", whole)
            patch.setattr(behind, "writing", whole)
            patch.setattr(behind, "rows", rows)
            capsys.readouterr()
            if cli.run(each) == 0:
                return ""
            why = capsys.readouterr().err
    return f"{command}: {why}"


def listed(engine: Engine, billing: Billing) -> Iterator[tuple[str, str | None]]:
    """Each command that a page names, and from when it is accepted if that is not now."""
    for table, noun in NOUNS.items():
        for row in engine.rows(f"SELECT id FROM {table}"):
            for way in billing(noun, "show", row["id"])["ways_out"]:
                yield way["command"], way["from_at"]
    for row in engine.rows("SELECT DISTINCT customer_id FROM wallets"):
        customer = row["customer_id"]
        if billing("customer", "show", customer)["wallet"]:
            for way in billing("customer", "show", customer)["wallet"]["ways_out"]:
                yield way["command"], way["from_at"]
    for item in attention.listed(
        engine.context.database, engine.now, engine.context.settings.tick_seconds, 100,
        horizon=engine.context.limits.not_found_horizon,
    ):  # fmt: skip
        if item.command.startswith("billing "):
            yield item.command, None


def _pending(engine: Engine) -> None:
    engine.plan()
    engine.subscribe(engine.customer(linked=False))
    linking = engine.customer(linked=False)
    engine.bind(linking)
    engine.subscribe(linking)


def _lost(engine: Engine, **options: Any) -> str:
    customer, _ = engine.begun(every="1 day", **options)
    engine.script("drop_after", customer)
    engine.script("drop_before", customer, "status", times=None)
    engine.run()
    return customer


def _old(engine: Engine) -> None:
    _lost(engine)
    engine.set_clock(engine.now + 20 * MINUTE)


def _parked(engine: Engine) -> None:
    _lost(engine)
    engine.advance(14 * DAY)


def _in_flight(engine: Engine) -> None:
    engine.begun()
    engine.tick(["ticks.open_periods"])
    [invoice] = [row["id"] for row in engine.rows("SELECT id FROM invoices")]
    engine.execute("UPDATE invoices SET leased_until = NULL")
    claiming.claim(engine.context, {invoice: None})
    engine.audited = False


def _behind(engine: Engine) -> str:
    customer, _ = engine.begun(every="1 day", retries="10d", cash=0)
    engine.advance(2 * DAY)
    return customer


def _behind_without_wallet(engine: Engine) -> str:
    customer = _behind(engine)
    engine.lose_wallet(customer)
    engine.advance(MINUTE)
    return customer


def _behind_with_link(engine: Engine) -> None:
    engine.bind(_behind_without_wallet(engine))


def _given_up(engine: Engine, **options: Any) -> str:
    customer, subscription = engine.begun(
        every="1 day", retries="6h", on_exhausted="unpaid", cash=0, **options
    )
    for _ in range(2):
        engine.advance(2 * DAY)
        if engine.status(subscription) == "unpaid":
            pausing.resume(engine.context, subscription, OPERATOR)
    engine.advance(2 * DAY)
    assert engine.one("SELECT count(*) FROM invoices WHERE status = 'uncollectible'") > 1
    return customer


def _given_up_without_wallet(engine: Engine) -> None:
    engine.lose_wallet(_given_up(engine))
    engine.advance(MINUTE)


def _given_up_with_link(engine: Engine) -> None:
    customer = _given_up(engine)
    engine.lose_wallet(customer)
    engine.advance(MINUTE)
    engine.bind(customer)


def _given_up_and_lost(engine: Engine) -> None:
    customer = _given_up(engine)
    engine.put_cash(customer, 10_000_000)
    engine.script("drop_after", customer)
    engine.script("drop_before", customer, "status", times=None)
    [first, *_] = engine.rows("SELECT id FROM invoices WHERE status = 'uncollectible' ORDER BY"
                              " period_index")  # fmt: skip
    invoice_actions.retry_invoice(engine.context, first["id"], OPERATOR)
    engine.run()


def _given_up_and_canceled(engine: Engine) -> None:
    engine.begun(every="1 day", retries="3d", cash=0)
    engine.advance(10 * DAY)


def _trial(engine: Engine) -> None:
    engine.begun(trial="7 days")


def _paused(engine: Engine) -> None:
    _, subscription = engine.begun()
    engine.run()
    pausing.pause(engine.context, subscription, OPERATOR)


def _late(engine: Engine) -> None:
    engine.plan()
    for act in (
        lambda row: canceling.cancel(engine.context, row, OPERATOR, at=engine.now + HOUR),
        lambda row: pausing.pause(engine.context, row, OPERATOR, until=engine.now + HOUR),
    ):
        subscription = engine.subscribe(engine.customer())
        engine.run()
        act(subscription)
    engine.set_clock(engine.now + 2 * HOUR)
    engine.audited = False


def _refund(engine: Engine, kind: str | None = None) -> None:
    customer, subscription = engine.begun(every="1 year")
    engine.run()
    [invoice] = engine.invoices(subscription)
    if kind is not None:
        engine.script(kind, customer, "refund", times=None)
    refunding.refund_invoice(engine.context, invoice["id"], 10_000, OPERATOR)


def _refund_unknown(engine: Engine) -> None:
    _refund(engine, "http_500")
    engine.run()


def _refund_parked(engine: Engine) -> None:
    _refund(engine, "http_500")
    engine.advance(3 * DAY)


def _refund_declined(engine: Engine) -> None:
    _refund(engine, "failed")
    engine.advance(DAY)


def _unreturned(engine: Engine) -> None:
    customer, subscription = engine.begun(every="1 year")
    engine.script("drop_after", customer)
    engine.run()
    [invoice] = engine.invoices(subscription)
    invoice_actions.void_invoice(engine.context, invoice["id"], OPERATOR)
    engine.script("failed", customer, "refund")
    engine.advance(2 * DAY)
    engine.audited = False


def _unlinking(engine: Engine) -> None:
    customer = engine.customer()
    engine.script("failed", customer, "unbind", times=None)
    unlinking.unlink(engine.context, customer, OPERATOR)
    engine.run()
    engine.dead_ends = {"unlink stuck"}


def _unlink_of_an_expired_one(engine: Engine) -> None:
    customer = engine.customer()
    engine.lose_wallet(customer)
    engine.advance(MINUTE)
    unlinking.unlink(engine.context, customer, OPERATOR)


STORIES: list[Story] = [
    _pending, _lost, _old, _parked, _in_flight, _behind, _behind_without_wallet,
    _behind_with_link, _given_up, _given_up_without_wallet, _given_up_with_link,
    _given_up_and_lost, _given_up_and_canceled, _trial, _paused, _late, _refund, _refund_unknown,
    _refund_parked, _refund_declined, _unreturned, _unlinking, _unlink_of_an_expired_one,
]  # fmt: skip


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__.strip("_"))
def test_a_command_that_is_listed_is_accepted(
    engine: Engine, billing: Billing, story: Story, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of every state and thing: what `show` and `attention` name is done when it is typed.

    One that names a date is refused before it.
    """
    story(engine)
    engine.audited = False  # the gateway heard of links that were undone here
    commands = dict(listed(engine, billing))
    refused = [why for command in commands if commands[command] is None
               and (why := accepted(engine, command, capsys))]  # fmt: skip
    assert refused == []
    for command, from_at in commands.items():
        if from_at is not None:
            assert accepted(engine, command, capsys), f"{command} is accepted already"


def test_a_date_that_is_named_is_the_date_from_which_it_is_accepted(
    engine: Engine, billing: Billing, capsys: pytest.CaptureFixture[str]
) -> None:
    """People read `from 2026-01-31 09:15:00+07:00: billing charge resolve ...`."""
    _lost(engine)
    engine.audited = False  # what is decided here is undone again
    [charge] = [row["id"] for row in engine.rows("SELECT id FROM charges")]
    command = f"billing charge resolve {charge} --as …"

    told = billing("charge", "show", charge, people=True)
    [from_at] = [way["from_at"] for way in billing("charge", "show", charge)["ways_out"]]

    assert f"from {from_at[:16].replace('T', ' ')}+07:00: {command}" in told
    engine.set_clock(datetime.fromisoformat(from_at) - timedelta(seconds=1))
    assert accepted(engine, command, capsys)
    engine.set_clock(datetime.fromisoformat(from_at))
    assert accepted(engine, command, capsys) == ""
    assert billing("charge", "show", charge)["ways_out"][0]["from_at"] is None
