"""The verdict on one storm, from the gateway's ledger and not from our rows.

Each check says what must hold between what the gateway knows to have happened and what we have
on record. After a restore the engine may have forgotten what it did; it may not do it again.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from billing.domain.periods import calendar
from billing.domain.subscription import OPENING, CatchUp
from billing.domain.terms import PlanTerms
from billing.services.reading import auditing
from tests.faults.storm.ledger import SUCCESS, Payment
from tests.faults.storm.world import World

Row = Mapping[str, Any]
FINAL = ("succeeded", "declined", "unsent")
GIVEN_UP = {"declined", "unreturned", "returned_elsewhere", "waived"}


class Records:
    """Our rows, read once, by what they are looked up by."""

    def __init__(self, world: World) -> None:
        read = world.databases.rows
        self.charges = {row["gateway_number"]: row for row in read("SELECT * FROM charges")}
        self.invoices = {row["id"]: row for row in read("SELECT * FROM invoices")}
        self.refunds = {str(row["id"]): row for row in read("SELECT * FROM refunds")}
        self.subscriptions = read(
            "SELECT s.*, p.every, p.cron, p.timezone, p.cycles FROM subscriptions s"
            " JOIN plans p ON p.code = s.plan_code ORDER BY s.created_at, s.id"
        )
        self.told: dict[UUID, Counter[str]] = defaultdict(Counter)
        for row in read("SELECT charge_id, kind FROM events WHERE charge_id IS NOT NULL"):
            self.told[row["charge_id"]][row["kind"].removeprefix("charge.")] += 1
        self.resolved = {
            row["charge_id"]
            for row in read(
                "SELECT charge_id FROM events WHERE kind = 'charge.succeeded'"
                " AND data->>'source' = 'operator'"
            )
        }
        self.skipped = read("SELECT * FROM events WHERE kind = 'period.skipped'")
        # A declined refund, or one that stays unknown, is left to an operator.
        self.left_to_people: Counter[UUID] = Counter()
        for row in self.refunds.values():
            if row["status"] in GIVEN_UP or row["parked_at"] is not None:
                self.left_to_people[row["invoice_id"]] += row["amount"]


def findings(world: World) -> list[str]:
    """Everything that is not as promised."""
    records = Records(world)
    return [
        *doubles(world),
        *_kept_once(world),
        *_debits_booked(world, records),
        *_charges_true(world, records),
        *_refunds_equal(world, records),
        *_refunds_true(world, records),
        *_money_by_status(world, records),
        *_nothing_after_the_end(world, records),
        *_periods(world, records),
        *_first_payments(world, records),
        *_events(world, records),
        *_unresolved(world, records),
        *_nothing_due(world),
        *_dead_tokens(world),
    ]


def _by_invoice(world: World) -> dict[str, list[Payment]]:
    found = defaultdict(list)
    for payment in world.ledger.payments.values():
        if payment.moves:
            found[payment.number.rpartition("-")[0]].append(payment)
    return found


def _forgotten(world: World, payment: Payment) -> bool:
    """Whether the money moved before a restore, so that the engine need not know of it."""
    return payment.moved_seq < world.restored_seq


def _sent_before_restore(world: World, payment: Payment) -> bool:
    return world.gateway.first_sent[payment.request_id] < world.restored_seq


def doubles(world: World) -> Iterator[str]:
    """Promise 1, by the gateway's own count; only a restore can excuse it afterwards."""
    for payment in world.ledger.payments.values():
        if payment.moves > 1:
            yield f"{world.name(payment.number)}: the money moved {payment.moves} times"
    for paid in _by_invoice(world).values():
        excused = any(payment.late or _forgotten(world, payment) for payment in paid)
        if len(paid) > 1 and not excused:
            yield f"DOUBLE: {_names(world, paid)}: one invoice debited {len(paid)} times"


def _kept_once(world: World) -> Iterator[str]:
    """What a second debit took is given back."""
    for number, paid in _by_invoice(world).items():
        kept = sum(payment.kept - payment.refund_declined for payment in paid)
        if len(paid) > 1 and kept > paid[0].amount:
            which, amount = _names(world, paid), paid[0].amount
            yield f"DOUBLE: {which}: {kept} kept of an invoice over {amount} ({number})"


def _names(world: World, paid: Sequence[Payment]) -> str:
    return ", ".join(world.name(payment.number) for payment in paid)


def _debits_booked(world: World, records: Records) -> Iterator[str]:
    for payment in world.ledger.payments.values():
        if not payment.moves:
            continue
        charge = records.charges.get(payment.number)
        if charge is None or charge["status"] != "succeeded":
            unknown_to_us = charge is None and _sent_before_restore(world, payment)
            if not (unknown_to_us or _forgotten(world, payment)):
                status = charge["status"] if charge else "nowhere"
                yield f"LOST: {world.name(payment.number)}: money moved, our charge is {status}"
        elif charge["id"] in records.resolved and _sent_before_restore(world, payment):
            # A restore may have forgotten a change of price: the number is met again with another
            # amount and stays unknown. A person resolved it; the engine itself never may.
            continue
        elif str(charge["id"]) != payment.request_id or charge["amount"] != payment.amount:
            yield f"{world.name(payment.number)}: booked under another Request-Id or amount"


def _charges_true(world: World, records: Records) -> Iterator[str]:
    for number, charge in records.charges.items():
        payment = world.ledger.payments.get(number)
        if charge["status"] == "succeeded" and (payment is None or not payment.moves):
            yield f"{world.name(number)}: booked as paid, and no money moved"


def _refunds_equal(world: World, records: Records) -> Iterator[str]:
    for request_id, refund in world.ledger.refunds.items():
        row, name = records.refunds.get(request_id), world.name(refund.order.number)
        if refund.status == SUCCESS and refund.seq > world.restored_seq:
            if row is None or row["status"] != "succeeded":
                yield f"refund of {name}: paid out, {row and row['status']} with us"
            elif row["amount"] != refund.order.amount:
                yield f"refund of {name}: {refund.order.amount} paid out, {row['amount']} booked"


def _refunds_true(world: World, records: Records) -> Iterator[str]:
    for request_id, row in records.refunds.items():
        there = world.ledger.refunds.get(request_id)
        if row["status"] == "succeeded" and (there is None or there.status != SUCCESS):
            yield f"refund {request_id}: booked as paid out, and it was not"
        ended = {"succeeded", *GIVEN_UP}
        if row["status"] not in ended and row["parked_at"] is None:
            yield f"refund {request_id}: still {row['status']}, and not parked"
    # A declined refund that is sent again is a new one, with the reason of the one it replaces.
    sent_again = {row["replaces"] for row in records.refunds.values()}
    reasons = Counter(
        row["reason"] for row in records.refunds.values()
        if row["id"] not in sent_again or row["status"] not in {"declined", "unreturned"}
    )  # fmt: skip
    for reason, count in reasons.items():
        if reason.startswith("refund key-") and count > 1:
            yield f"{reason}: one command gave back {count} times"
    for payment in world.ledger.payments.values():
        if payment.kept < 0:
            yield f"{world.name(payment.number)}: more was given back than taken"


def _money_by_status(world: World, records: Records) -> Iterator[str]:
    """What is kept of each invoice fits what we say of it."""
    kept: Counter[UUID] = Counter()
    for payment in world.ledger.payments.values():
        charge = records.charges.get(payment.number)
        if charge is not None and payment.moves:
            kept[charge["invoice_id"]] += payment.kept
    for invoice in records.invoices.values():
        taken = invoice["amount"] - invoice["credited"] - invoice["amount_refunded"]
        due = taken if invoice["status"] == "paid" else 0
        difference = kept[invoice["id"]] - due
        if difference == 0 or world.restored_seq:
            continue
        if not 0 < difference <= records.left_to_people[invoice["id"]]:
            name = world.name(invoice["id"])
            yield f"{name}: {invoice['status']}, {kept[invoice['id']]} kept and {due} expected"


def _nothing_after_the_end(world: World, records: Records) -> Iterator[str]:
    """A charge that was first sent after a confirmed cancellation is refunded."""
    for payment in world.ledger.payments.values():
        charge = records.charges.get(payment.number)
        if charge is None or not payment.moves:
            continue
        ended = world.canceled.get(charge["subscription_id"])
        sent = world.gateway.first_sent[payment.request_id]
        left = payment.kept - records.left_to_people[charge["invoice_id"]]
        if ended is not None and sent > ended and left > 0:
            yield f"{world.name(payment.number)}: sent after the cancel, and {payment.kept} kept"


def _periods(world: World, records: Records) -> Iterator[str]:
    """Promise 2, with the calendar computed again."""
    covered: dict[UUID, Counter[int]] = defaultdict(Counter)
    for invoice in records.invoices.values():
        if invoice["change_index"] == 0:
            covered[invoice["subscription_id"]][invoice["period_index"]] += 1
    for event in records.skipped:
        for index in range(event["data"]["first"], event["data"]["last"] + 1):
            covered[event["subscription_id"]][index] += 1
    for row in records.subscriptions:
        if row["anchor_local"] is None:
            continue
        yield from _period_starts(world, records, row)
        expected = Counter(range(row["next_period_index"]))
        if covered[row["id"]] != expected:
            name, found = world.name(row["id"]), dict(covered[row["id"]])
            yield f"{name}: periods {found}, expected {dict(expected)}"


def _period_starts(world: World, records: Records, row: Row) -> Iterator[str]:
    terms = PlanTerms(row["every"], row["cron"], row["timezone"], row["cycles"], CatchUp.ALL)
    dates = calendar(terms, row["anchor_local"])
    over = row["cycles"] is not None and row["next_period_index"] >= row["cycles"]
    if row["status"] in OPENING and not over:
        following = dates.due(row["next_period_index"] - row["anchor_index"])
        if following <= world.clock.now():
            yield f"{world.name(row['id'])}: the period of {following} began and did not open"
    for invoice in records.invoices.values():
        index = invoice["period_index"] - row["anchor_index"]
        # Before its anchor was moved it had another one, which is on record nowhere.
        if invoice["subscription_id"] == row["id"] and not invoice["change_index"] and index >= 0:
            starts = dates.due(index)
            if invoice["period_start"] != starts:
                yield f"{world.name(invoice['id'])}: begins {invoice['period_start']}"


def _first_payments(world: World, records: Records) -> Iterator[str]:
    """`first_payment` is true until the first success of a subscription, and false after it."""
    if world.restored_seq:
        return
    by_subscription = defaultdict(list)
    for payment in world.ledger.payments.values():
        by_subscription[payment.number.partition("-")[0]].append(payment)
    for payments in by_subscription.values():
        moved = [payment for payment in payments if payment.moves]
        paying = [p for p in moved if not p.late and _pays(records, p)]
        for payment in payments:
            sent, name = world.gateway.first_sent[payment.request_id], world.name(payment.number)
            if payment.first_payment and any(other.moved_seq < sent for other in paying):
                yield f"{name}: first_payment is true, and there was a payment before"
            if not payment.first_payment and all(other.moved_seq > sent for other in moved):
                yield f"{name}: first_payment is false, and there was none before"


def _pays(records: Records, payment: Payment) -> bool:
    charge = records.charges.get(payment.number)
    return charge is not None and charge["status"] == "succeeded" and not charge["surplus"]


def _events(world: World, records: Records) -> Iterator[str]:
    """Each end has one event, and so has each rejected charge; late news may follow."""
    for number, charge in records.charges.items():
        told = records.told[charge["id"]]
        ends = {kind: told[kind] for kind in FINAL if told[kind]}
        right = {charge["status"]: 1} if charge["status"] in FINAL else {}
        if charge["unsent_attempts"]:
            # It is sent again unchanged, so that a rejection may come before another end.
            right["unsent"] = charge["unsent_attempts"]
        if charge["sends"] > 1:
            # So may the belief that the gateway never had it, which is a decline of its own.
            ends.pop("declined", None)
            right.pop("declined", None)
        payment = world.ledger.payments.get(number)
        late = world.restored_seq or (payment is not None and payment.late)
        if late and charge["status"] == "succeeded":
            ends = {kind: count for kind, count in ends.items() if kind == "succeeded"}
            right.pop("unsent", None)
        if ends != right:
            yield f"{world.name(number)}: is {charge['status']}, and the events tell {ends}"


def _unresolved(world: World, records: Records) -> Iterator[str]:
    for number, charge in records.charges.items():
        if charge["status"] not in FINAL and charge["parked_at"] is None:
            yield f"{world.name(number)}: still {charge['status']}, and not parked"
    for row in records.subscriptions:
        if row["ended_at"] is None and row["cancel_at"] and row["cancel_at"] <= world.clock.now():
            yield f"{world.name(row['id'])}: was to end at {row['cancel_at']}, and did not"


LEFT_TO_A_PERSON = ("parked", "other amount", "postponed", "unlink stuck", "unreturned")
"""What a storm may end with: asked or tried as often as is right, in a state that has a name."""
A_PERSON_ERRED = "an operator said"
"""Somebody resolved a charge or refund, and the gateway told another end later: it is shown."""


def _nothing_due(world: World) -> Iterator[str]:
    """The engine's audit finds only what a gateway that never answers leaves behind."""
    found: list[str] = []

    def deed(context: Any) -> None:
        found.extend(f"audit: {item.name}: {item.detail}" for item in auditing.broken(context))
        found.extend(
            f"dead end: {item.kind} {item.id} is {item.cause}: {item.why}"
            for item in auditing.dead_ends(context)
            if item.cause not in LEFT_TO_A_PERSON and not item.why.startswith(A_PERSON_ERRED)
        )

    if world.run("audit", deed) != "done":
        yield "the audit did not end"
    yield from found


def _dead_tokens(world: World) -> Iterator[str]:
    if not world.restored_seq:
        for number in world.gateway.dead_tokens_used:
            yield f"{world.name(number)}: sent with a token that had been deleted"
