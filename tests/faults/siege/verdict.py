"""What the gateway's ledger says of a siege, and only then what our own rows say.

A charge's number is `SUBSCRIPTION-PERIOD-ATTEMPT`: the ledger alone tells which periods each
customer has paid, and how often. It is compared with what was agreed with the people.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from billing.local.compare import compare
from billing.services.reading import auditing
from tests.faults.ground import Ground
from tests.faults.siege.front import Front
from tests.faults.siege.people import AMOUNT, DEAD, HARD, People

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """Everything that is not as it should be, by what it is; all empty when the siege was held."""

    payments: int
    refunds: int
    ended: int
    """Subscriptions that a hard decline ended, as it has to."""
    linked_again: int
    """Wallets that a decline ended, and that their customers linked again."""
    double_charges: Sequence[str]
    lost_periods: Sequence[str]
    unresolved: Sequence[str]
    wrong_ends: Sequence[str]
    wrong_refunds: Sequence[str]
    differences: Sequence[str]
    audit: Sequence[str]
    front: Mapping[str, Sequence[str]]

    @property
    def complaints(self) -> dict[str, Sequence[str]]:
        """Each kind of complaint with its lines."""
        return {
            "double charges": self.double_charges,
            "lost periods": self.lost_periods,
            "unresolved after the last horizon": self.unresolved,
            "wrong ends": self.wrong_ends,
            "wrong refunds": self.wrong_refunds,
            "differences between ledger and rows": self.differences,
            "findings of the audit": self.audit,
            **self.front,
        }

    @property
    def holds(self) -> bool:
        """Return whether no fault was found."""
        return not any(self.complaints.values())


def judge(ground: Ground, people: People, months: int, front: Front | None = None) -> Verdict:
    """Read the ledger, then the rows; with a front, what its clients and the receiver have."""
    ledger = ground.pretend.ledger()
    paid, ended = by_period(ledger, people), ended_by(ledger)
    return Verdict(
        payments=sum(row["moves"] for row in ledger if row["kind"] == "payment"),
        refunds=sum(row["moves"] for row in ledger if row["kind"] == "refund"),
        ended=len(ended),
        linked_again=people.linked_again,
        double_charges=list(doubles(paid)),
        lost_periods=list(lost(paid, people, months, ended)),
        unresolved=[*open_there(ledger), *open_here(ground, ended)],
        wrong_ends=[*refused(ledger, people), *ends(ground, people, ended)],
        wrong_refunds=list(refunds(ledger, paid, people)),
        differences=compare(ground.context, ledger).differences,
        audit=[f"{found.name}: {found.detail}" for found in auditing.audit(ground.context)],
        front={} if front is None else front.findings(),
    )


Paid = Mapping[str, Mapping[int, Sequence[Row]]]


def by_period(ledger: Iterable[Row], people: People) -> Paid:
    """Each customer's payments that moved money, by period."""
    paid: dict[str, dict[int, list[Row]]] = {who: defaultdict(list) for who in people.names}
    for row in ledger:
        if row["kind"] == "payment" and row["moves"]:
            # There are fewer than ten periods: one digit in any base.
            paid[row["customer_id"]][int(row["number"].split("-")[1])].append(row)
    return paid


def doubles(paid: Paid) -> Iterator[str]:
    """Report the customers who paid a period more than once, or not at all."""
    for who, periods in paid.items():
        for period, rows in periods.items():
            moves = sum(row["moves"] for row in rows)
            if moves != 1:
                numbers = ", ".join(row["number"] for row in rows)
                yield f"{who}, period {period}: debited {moves} times ({numbers})"


def ended_by(ledger: Iterable[Row]) -> dict[str, int]:
    """Return the customers whose charges a hard decline ended, with the period.

    A customer with a later charge is left out: the answer of the decline was lost, and a status
    query says only that the charge failed.
    """
    ended = {}
    for row in ledger:
        if row["kind"] == "payment":
            ended.pop(row["customer_id"], None)
            if row["code"] == HARD["code"]:
                ended[row["customer_id"]] = int(row["number"].split("-")[1])
    return ended


def lost(paid: Paid, people: People, months: int, ended: Mapping[str, int]) -> Iterator[str]:
    """Report the customers who did not pay a due amount, or paid one that was not due."""
    for who, periods in paid.items():
        left = people.left_in.get(who)
        if left is None:
            missing = set(range(ended.get(who, months))) - periods.keys()
            if missing:
                yield f"{who}: never debited for {sorted(missing)}"
        last = ended.get(who, months) if left is None else left + 1
        surplus = periods.keys() - set(range(last))
        if surplus:
            yield f"{who}: debited for {sorted(surplus)}, which were not to be billed"


def refused(ledger: Iterable[Row], people: People) -> Iterator[str]:
    """Declines that ended something and were never drawn, or that came more than once."""
    for code, whom in ((HARD["code"], people.refused), (DEAD["code"], people.dormant)):
        met = Counter(row["customer_id"] for row in ledger if row["code"] == code)
        for who, count in met.items():
            if who not in whom or count > 1:
                yield f"{who}: {code} {count} times"


def ends(ground: Ground, people: People, ended: Mapping[str, int]) -> Iterator[str]:
    """Report the subscriptions that ended without a cause, or did not end despite one."""
    rows = ground.rows(
        "SELECT customer_id FROM subscriptions WHERE ended_at IS NOT NULL"
        " AND customer_id NOT LIKE 'shop-%'"
    )
    for who in {row.customer_id for row in rows} ^ {*people.left_in, *ended}:
        wanted = who in people.left_in or who in ended
        yield f"{who}: {'was to end, and goes on' if wanted else 'has ended for no reason'}"


def open_there(ledger: Iterable[Row]) -> Iterator[str]:
    """Payments that the gateway has not decided."""
    for row in ledger:
        if row["kind"] == "payment" and row["status"] not in {"SUCCESS", "REFUNDED", "FAILED"}:
            yield f"{row['number']}: {row['status']} at the gateway"


def open_here(ground: Ground, ended: Mapping[str, int]) -> Iterator[str]:
    """Rows of ours that wait for something; what a hard decline ended is never to be paid."""
    for table, settled in (
        ("charges", "('succeeded', 'declined', 'unsent')"),
        ("invoices", "('paid', 'void')"),
        ("refunds", "('succeeded')"),
        ("subscriptions", "('active', 'canceled')"),
    ):
        for row in ground.rows(
            f"SELECT id, status, customer_id FROM {table} WHERE status NOT IN {settled}"
            " AND customer_id NOT LIKE 'shop-%'"
        ):
            if row.status != "uncollectible" or row.customer_id not in ended:
                yield f"{table}: {row.id} is {row.status}"


def refunds(ledger: Iterable[Row], paid: Paid, people: People) -> Iterator[str]:
    """Report the customers whose refunds differ from what was requested."""
    given: Counter[str] = Counter()
    for row in ledger:
        if row["kind"] == "refund" and row["moves"]:
            given[row["customer_id"]] += row["amount"] * row["moves"]
    for who in people.names:
        left = people.left_in.get(who)
        if left is None:
            if given[who] != people.refunds.get(who, 0):
                yield f"{who}: got {given[who]}, was to get {people.refunds.get(who, 0)}"
            continue
        # The last month comes back if it was paid at all; what was still open and settled after
        # the end comes back, too. Everything else is kept.
        back = [row for rows in paid[who].values() for row in rows if row["refunded"]]
        last = paid[who].get(left, [])
        if any(row["refunded"] != AMOUNT for row in [*back, *last]):
            yield f"{who}: left in period {left}, and did not get all of it back"
        if given[who] != AMOUNT * len(back):
            yield f"{who}: got {given[who]} for {len(back)} payments"
