"""Deliberate bugs, each a small wrapper around the engine: the storm has to find every one.

They are the mistakes that systems like this one have made. Nothing here is used by the engine.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import Connection

from billing.domain.outcomes import (
    Declined,
    Fault,
    Outcome,
    RefundOrder,
    RefundOutcome,
    SealedPayment,
    Unknown,
)
from billing.services.collecting import charging, claiming, prechecks, settling
from billing.services.context import Context
from billing.store.queries import charges
from billing.store.queries.claims import Candidate
from tests.faults.storm.world import World, put

Bug = Callable[[World, ExitStack], None]


class _Held:
    """A database whose every transaction is one that is open already."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        yield self._connection


def claim_after_the_call(_world: World, undo: ExitStack) -> None:
    """Claim, call and settle in one transaction: a kill rolls back a row of money that moved."""

    def collect_on(context: Context, invoice_ids: Sequence[UUID], _seconds: int) -> None:
        seen = prechecks.look(context, invoice_ids)
        with context.database.transaction() as connection:
            held: Any = _Held(connection)
            inside = replace(context, database=held)
            charging.send(inside, claiming.claim(inside, seen))

    put(undo, charging, "collect_on", collect_on)


def no_rule_against_a_second_charge(world: World, undo: ExitStack) -> None:
    """The unique index is missing, and so are the checks before a charge."""
    world.databases.write("DROP INDEX charges_one_unresolved")

    def rewrite(statement: str) -> str:
        begin = statement.find("AND NOT EXISTS (SELECT 1 FROM charges u WHERE")
        if begin < 0:
            return statement
        end = statement.index("AND NOT EXISTS", begin + 1)
        return statement[:begin] + statement[end:]

    def unresolved_of(_connection: Connection, _subscription: UUID) -> int:
        return 0

    def look(_context: Context, row: Candidate, _now: datetime) -> prechecks.Sight:
        return prechecks.Sight(row)

    world.rewrite = rewrite
    put(undo, prechecks, "_look", look)
    put(undo, charges, "unresolved_of", unresolved_of)


def new_ids_on_resend(_world: World, undo: ExitStack) -> None:
    """What is sent again is sent as something new."""
    right = settling._again

    def again(context: Context, connection: Connection, case: settling.Case) -> SealedPayment:
        sealed, sends = right(context, connection, case), case.trouble.sends
        anew = uuid5(UUID(sealed.request_id), str(sends))
        return replace(sealed, request_id=str(anew), number=f"{sealed.number}x{sends}"[-32:])

    put(undo, settling, "_again", again)


def unknown_is_declined(world: World, undo: ExitStack) -> None:
    """No answer is taken for a no."""
    right = world.gateway.pay

    def pay(payment: SealedPayment) -> Outcome:
        outcome = right(payment)
        return Declined(Fault.OTHER, "timeout") if isinstance(outcome, Unknown) else outcome

    put(undo, world.gateway, "pay", pay)


def new_ids_for_refunds(world: World, undo: ExitStack) -> None:
    """A refund that is sent again is another refund."""
    right = world.gateway.refund

    def refund(order: RefundOrder) -> RefundOutcome:
        anew = uuid5(UUID(order.request_id), str(world.ledger.next()))
        return right(replace(order, request_id=str(anew)))

    put(undo, world.gateway, "refund", refund)


BUGS: Mapping[str, Bug] = {
    bug.__name__: bug
    for bug in (
        claim_after_the_call,
        no_rule_against_a_second_charge,
        new_ids_on_resend,
        unknown_is_declined,
        new_ids_for_refunds,
    )
}
