"""A refused command says what prevents it, in the words of the command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import make_url

from tests.integration.command import Billing
from tests.integration.engine import Engine


@contextmanager
def locked(engine: Engine, subscription: UUID) -> Iterator[None]:
    """Another session holds a subscription's row."""
    url = make_url(engine.url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as session:
        session.execute("SELECT 1 FROM subscriptions WHERE id = %s FOR UPDATE", (subscription,))
        yield
        session.rollback()


def test_a_row_that_another_transaction_holds_is_no_matter_of_the_settings(
    engine: Engine, billing: Billing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line says that another session locks the row and to try again, and blames no address."""
    _, subscription = engine.begun()
    url = make_url(engine.url).update_query_dict({"options": "-c lock_timeout=200ms"})
    monkeypatch.setenv("BILLING_DATABASE_URL", url.render_as_string(hide_password=False))

    with locked(engine, subscription):
        told = billing("subscription", "cancel", subscription, code=1)

    assert told == "billing: another transaction holds this row; try again\n"
    billing("subscription", "cancel", subscription)


def test_a_statement_that_took_too_long_is_no_matter_of_the_settings(
    engine: Engine, billing: Billing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server answers, so the line does not name its address."""
    _, subscription = engine.begun()
    url = make_url(engine.url).update_query_dict({"options": "-c statement_timeout=200ms"})
    monkeypatch.setenv("BILLING_DATABASE_URL", url.render_as_string(hide_password=False))

    with locked(engine, subscription):
        told = billing("subscription", "cancel", subscription, code=1)

    assert "timed out" in told
    assert "try again" in told
    assert "BILLING_DATABASE_URL" not in told


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("subscription", "resume"), "is active; nothing to resume"),
        (
            ("invoice", "void"),
            "is paid and cannot be voided; refund it with: billing refund {row}",
        ),
    ],
)
def test_a_refused_command_lists_no_inner_moves(
    engine: Engine, billing: Billing, words: tuple[str, str], why: str
) -> None:
    """It names the state and that there is nothing to do, not the moves of the state machine."""
    _, subscription = engine.begun()
    engine.run()
    [invoice] = engine.invoices(subscription)
    row = {"subscription": subscription, "invoice": invoice["id"]}[words[0]]

    told = billing(*words, row, code=1)

    assert told == f"billing: {words[0]} {row} {why.format(row=row)}\n"


def test_a_pause_of_what_bills_nothing_says_so(engine: Engine, billing: Billing) -> None:
    """A second pause, and one of a subscription that has not begun."""
    _, subscription = engine.begun()
    engine.run()
    billing("subscription", "pause", subscription)
    waiting = engine.subscribe(engine.customer(linked=False))

    for row, stands in ((subscription, "paused"), (waiting, "pending")):
        told = billing("subscription", "pause", row, code=1)
        assert told == f"billing: subscription {row} is {stands}; nothing to pause\n"
