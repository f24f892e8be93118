"""A claim that is halved is several transactions: what happens when the database leaves in between.

The first parts are committed and will never be sent by the task that made them.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from billing.domain.charge import QUERY_AFTER
from billing.services.collecting import charging
from billing.services.context import LEASE_SECONDS
from billing.services.operating.held_rows import Kind
from billing.store.queries import claims
from billing.store.queries.claims import Candidate
from tests.integration.engine import START, Engine, in_any_order
from tests.integration.held import is_held, release

DAY = timedelta(days=1)
BATCH = 7
"""With the one that is spoilt they are one portion of four threads, which is claimed together."""


def spoilt_batch(engine: Engine) -> tuple[list[tuple[str, UUID]], UUID]:
    """Customers whose first invoices are open and due, and the one invoice that cannot be claimed.

    That one has an expired wallet and an invalid policy.
    """
    engine.plan(every="1 year")
    engine.plan("ODD", every="1 year")
    people = [(each, engine.subscribe(each)) for each in (engine.customer() for _ in range(BATCH))]
    spoilt = engine.customer()
    subscription = engine.subscribe(spoilt, "ODD")
    engine.tick(["ticks.open_periods"])
    engine.execute("UPDATE plans SET retries = 'no policy' WHERE code = 'ODD'")
    engine.execute("UPDATE wallets SET expires_at = :now WHERE customer_id = :id",
                   now=START, id=spoilt)  # fmt: skip
    [invoice] = engine.invoices(subscription)
    return people, invoice["id"]


def lose_database(monkeypatch: pytest.MonkeyPatch, spoilt: UUID) -> list[int]:
    """Have the server end the session of the claim that follows the first committed part.

    Returns how many were claimed, part after part.
    """
    plain, parts = claims.candidates, list[int]()

    def candidates(connection: Connection, ids: Sequence[UUID], now: datetime, **options: Any
                   ) -> Sequence[Candidate]:  # fmt: skip
        if parts:
            connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
        found = plain(connection, ids, now, **options)
        if spoilt not in ids:
            parts.append(len(found))
        return found

    monkeypatch.setattr(claims, "candidates", candidates)
    return parts


@pytest.mark.parametrize("on_message", [True, False])
def test_charges_of_a_part_that_was_committed_are_delayed_and_never_doubled(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, *, on_message: bool
) -> None:
    """They get a status query and are sent again under their own Request-Ids; the others continue.

    The task fails, since an absent database is not the fault of a row: none is held for it.
    """
    people, spoilt = spoilt_batch(engine)
    due = in_any_order(charging.lease_due(engine.context, 100)) if on_message else []
    collect = charging.collect if on_message else partial(charging.collect_on, seconds=10)
    with monkeypatch.context() as patch:
        parts = lose_database(patch, spoilt)
        with pytest.raises(OperationalError):
            collect(engine.context, due)
    [claimed] = parts
    assert 0 < claimed < BATCH
    committed = engine.rows("SELECT * FROM charges ORDER BY id")
    assert [row["status"] for row in committed] == ["in_flight"] * claimed
    assert not any(engine.ledger(who, "payment") for who, _ in people), (
        "this task sends nothing any more"
    )
    held = engine.rows("SELECT id FROM invoices WHERE held_at IS NOT NULL")
    assert [row["id"] for row in held] in ([], [spoilt]), "that the database is away is no row's"

    # Unclaimed invoices are due; a lease of the failed task ends by itself.
    unclaimed = engine.rows(
        "SELECT next_attempt_at, leased_until > clock_timestamp() + make_interval(secs => :lease)"
        " AS for_longer FROM invoices WHERE id <> :spoilt AND NOT EXISTS (SELECT 1 FROM charges c"
        " WHERE c.invoice_id = invoices.id)", spoilt=spoilt, lease=LEASE_SECONDS,
    )  # fmt: skip
    assert [row["next_attempt_at"] for row in unclaimed] == [START] * (BATCH - claimed)
    assert not any(row["for_longer"] for row in unclaimed)
    engine.forget_leases()
    engine.run()
    assert "InvalidValue" in is_held(engine, Kind.INVOICE, spoilt)
    states = Counter(row["status"] for row in engine.rows("SELECT status FROM charges"))
    assert states == {"in_flight": claimed, "succeeded": BATCH - claimed}

    # Once asked about, "not found" is believed only after the horizon.
    engine.advance(QUERY_AFTER[0])
    states = Counter(row["status"] for row in engine.rows("SELECT status FROM charges"))
    assert states == {"unknown": claimed, "succeeded": BATCH - claimed}
    engine.advance(DAY)
    for who, subscription in people:
        [charge], [debit] = engine.charges(subscription), engine.debits(who)
        assert charge["status"] == "succeeded"
        assert (debit["moves"], debit["request_id"]) == (1, str(charge["id"]))
        assert len(engine.ledger(who, "payment")) == 1
    resent = {row["id"]: row["sends"] for row in engine.rows("SELECT id, sends FROM charges")}
    assert {resent[row["id"]] for row in committed} == {2}
    assert Counter(resent.values()) == {1: BATCH - claimed, 2: claimed}
    assert engine.one("SELECT count(leased_until) FROM invoices") == 0

    engine.execute("UPDATE plans SET retries = '1d'")
    release(engine, Kind.INVOICE, spoilt)
    engine.advance(DAY)
