"""Print a subscription's timeline: past periods, charges and events, and what comes next.

Periods, charges and events are formatted here, and nothing is decided about them. Lines are wrapped
to the terminal; without one, each moment is one line.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from billing.cli import output
from billing.domain.escaping import escape
from billing.domain.money import rupiah

if TYPE_CHECKING:
    from datetime import tzinfo

    from billing.services.reading.results import Charge, Invoice, Life, Refund, Subscription
    from billing.store.queries.listing_rows import LifeEvent, Wallet
TIME_WIDTH = 16
LINE, ON_THE_LINE = "│", "┬○●■‖▶"
CHARGES = {
    "succeeded": ("✓", "charged"),
    "declined": ("✗", "declined"),
    "unsent": ("·", "not sent"),
    "in_flight": ("…", "in flight"),
    "pending": ("…", "waits for the customer"),
    "unknown": ("?", "outcome unknown"),
}
REFUNDS = {
    "succeeded": "refunded",
    "declined": "refund declined",
    "unknown": "refund sent, outcome unknown",
    "unreturned": "refund declined, must be returned: billing refunds retry",
    "returned_elsewhere": "returned by other means",
    "waived": "refund declined, amount kept",
}
AT_ITS_BEGINNING = (
    "subscription.created", "subscription.imported", "subscription.trial_started",
    "subscription.activated", "subscription.resumed", "period.skipped", "subscription.start_moved",
)  # fmt: skip
"""Events shown before the period that begins at the same instant."""
LINKED, LOST = ("●", "green"), ("●", "red")
MARKS = {
    "subscription.paused": ("‖", "yellow"),
    "subscription.resumed": ("▶", "green"),
    "subscription.activated": ("●", "green"),
    "subscription.trial_started": ("●", "cyan"),
    "subscription.canceled": ("■", "red"),
    "subscription.completed": ("■", "green"),
    "subscription.marked_unpaid": ("■", "red"),
    "wallet.linked": LINKED,
    "wallet.lost": LOST,
}
LATE = timedelta(minutes=1)
"""An answer that took longer than this is shown as late."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of the timeline: instant, mark, text and style."""

    at: datetime
    rank: int
    mark: str
    words: str
    style: str = ""
    aside: str = ""


def draw(life: "Life") -> None:
    """Print a subscription's past and what comes next."""
    found, earlier = life.subscription, life.earlier
    place = ZoneInfo(found.row.timezone)
    if earlier.invoices:
        output.say(
            f"\n{earlier.invoices} earlier invoices, {rupiah(earlier.amount)} paid;"
            " show all with --all"
        )
    output.say("")
    before = ""
    for moment in sorted(_past(life), key=lambda each: (each.at, each.rank)):
        before = _print(moment, place, before)
    output.say("\nnext")
    if found.prospect.waits_for:
        output.say(f"it waits for {found.prospect.waits_for}")
    before = ""
    coming = sorted(_coming(life), key=lambda each: each.at)
    for moment in coming:
        before = _print(moment, place, before)
    if not any(moment.rank for moment in coming):
        output.say(_stands(found))


def _print(moment: Moment, place: ZoneInfo, before: str) -> str:
    """Print one moment; omit its time when the line above has the same."""
    from rich.text import Text

    console = output.console()
    time = moment.at.astimezone(place).strftime("%Y-%m-%d %H:%M")
    is_on_it = moment.mark in ON_THE_LINE
    spine, beside = (moment.mark, "") if is_on_it else (LINE, f"{moment.mark} ")
    text = Text.assemble(
        (beside + escape(moment.words), moment.style), (escape(moment.aside), "dim")
    )
    shown, style = ("" if time == before else time), moment.style if is_on_it else ""
    for line in text.wrap(console, console.width - TIME_WIDTH - 3):
        line.rstrip()
        left = Text.assemble((f"{shown:{TIME_WIDTH}}", "dim"), (f" {spine} ", style))
        console.print(left + line, soft_wrap=True)
        shown, spine, style = "", LINE, ""
    return time


def _past(life: "Life") -> Iterator[Moment]:
    invoices = life.subscription.invoices
    begun = [(each.row.period_start_at, each.row.period_index) for each in invoices]
    wide = max((len(rupiah(each.row.amount)) for each in invoices), default=0)
    for invoice in invoices:
        yield _heading(invoice, wide)
        period = invoice.row.period_index
        for charge in invoice.charges:
            late = [index for start, index in begun if start <= charge.row.created_at]
            named = max(late, default=period) != period
            yield _charge(charge, f" for period {period}" if named else "")
        yield from (_refund(refund) for refund in invoice.refunds)
    yield from _events(life.events)
    for wallet in life.wallets:
        yield from _wallet(wallet, life.since)


def _heading(invoice: "Invoice", wide: int) -> Moment:
    row = invoice.row
    late = row.created_at - row.period_start_at >= LATE
    opened = f", opened {_when(row.created_at)}" if late else ""
    amount = f"{rupiah(row.amount):>{wide}}"
    covered = (
        f", {rupiah(row.amount_from_credit)} from the balance" if row.amount_from_credit else ""
    )
    what = "period" if row.change_index == 0 else "change of period"
    return Moment(
        row.period_start_at,
        1,
        "┬",
        f"{what} {row.period_index:<3} {amount}  {row.status}{covered}{opened}",
        output.STYLES.get(row.status, ""),
        f"  {row.id}",
    )


def _charge(charge: "Charge", of: str) -> Moment:
    row = charge.row
    mark, words = CHARGES[row.status]
    words += of
    if row.fault:
        words += f": {row.fault.replace('_', ' ')}"
    if row.code != row.fault:
        words += f" ({row.code})"
    was_late = row.settled_at is not None and row.settled_at - row.created_at >= LATE
    extras = [
        "first payment" if row.first_payment and row.status == "succeeded" else "",
        f"attempt {row.attempt}" if row.attempt > 1 else "",
        "requested by the operator" if row.trigger == "operator" else "",
        "a second payment" if row.surplus else "",
        f"settled {_when(row.settled_at)}" if row.settled_at is not None and was_late else "",
        f"parked: billing charge resolve {row.id}" if row.parked_at else "",
    ]
    words = ", ".join([words, *filter(None, extras)])
    return Moment(row.created_at, 2, mark, words, output.STYLES.get(row.status, ""))


def _refund(refund: "Refund") -> Moment:
    row = refund.row
    words = REFUNDS.get(row.status, "is being refunded")
    why = f" ({row.reason})" if row.reason else ""
    return Moment(row.created_at, 3, "↩", f"{rupiah(row.amount)} {words}{why}")


def _events(life: "Sequence[LifeEvent]") -> Iterator[Moment]:
    """Yield a line for each event; consecutive wallet checks become one line."""
    looks: list[LifeEvent] = []
    for event in life:
        if event.type == "invoice.short":
            if looks and looks[-1].invoice != event.invoice:
                yield _short(looks)
                looks = []
            looks.append(event)
            continue
        if looks:
            yield _short(looks)
            looks = []
        yield _event(event)
    if looks:
        yield _short(looks)


def _short(looks: "Sequence[LifeEvent]") -> Moment:
    first, last = looks[0], looks[-1]
    words = f"{_rupiah(last.details.get('shortfall'))} short"
    if len(looks) > 1:
        words += f", checked {len(looks)} times until {_when(last.timestamp)}"
    return Moment(first.timestamp, 3, "◌", words, "yellow")


def _event(event: "LifeEvent") -> Moment:
    noun, _, verb = event.type.partition(".")
    words = [(verb if noun == "subscription" else f"{noun} {verb}").replace("_", " ")]
    words += _details(event.details, event.timestamp.tzinfo)
    if event.actor != "scheduler":
        words += [f"by {event.actor}"]
    if event.reason:
        words[-1] += f" ({event.reason})"
    mark, style = MARKS.get(event.type, ("●" if noun in {"subscription", "period"} else "!", ""))
    rank = 0 if event.type in AT_ITS_BEGINNING else 4
    return Moment(event.timestamp, rank, mark, ", ".join(words), style)


def _details(data: dict[str, object], place: "tzinfo | None") -> Iterator[str]:
    if "first" in data and "last" in data:
        first, last = data.get("first"), data.get("last")
        yield str(first) if first == last else f"{first} to {last}"
    for name, value in data.items():
        if name.endswith("_at") and isinstance(value, str) and value:
            at = datetime.fromisoformat(value).astimezone(place)
            yield f"{name.removesuffix('_at').replace('_', ' ')} at {_when(at)}"
        elif name in {"amount", "shortfall"}:
            yield _rupiah(value)
        elif name == "net" and isinstance(value, int) and value:
            yield f"{rupiah(abs(value))} {'to pay' if value > 0 else 'for the balance'}"
        elif name in {"coupon", "title"} or (name in {"why", "reference"} and value):
            yield str(value)
        elif name == "plan":
            yield f"plan {value}"


def _rupiah(amount: object) -> str:
    return rupiah(amount) if isinstance(amount, int) else str(amount)


def _wallet(wallet: "Wallet", since: datetime) -> Iterator[Moment]:
    mark, style = LINKED
    if wallet.linked_at is not None and wallet.linked_at >= since:
        yield Moment(wallet.linked_at, 0, mark, f"wallet {wallet.masked_phone} linked", style)
    if wallet.closed_at is not None and wallet.closed_at >= since:
        mark, style = LOST
        why = f": {wallet.cause}" if wallet.cause else ""
        words = f"wallet {wallet.masked_phone} {wallet.status}{why}"
        yield Moment(wallet.closed_at, 4, mark, words, style)


def _coming(life: "Life") -> Iterator[Moment]:
    """Yield upcoming steps; rank 0 is for those outside the subscription itself."""
    row = life.subscription.row
    for invoice in life.subscription.invoices:
        yield from _attempts(invoice)
    if row.ended_at is not None:
        return  # its plans no longer apply, even if their dates are in the future
    due, ends = row.next_due_at, [at for at in (row.cancel_at, row.pause_at) if at is not None]
    if due is not None and not any(due >= end for end in ends):
        trial = "the trial ends; " if row.status == "trialing" else ""
        turns = row.change_at is not None and due >= row.change_at
        words = f"{trial}the next period begins"
        following = life.subscription.next_invoice
        if following is not None:
            words += f", {rupiah(following.amount)}"
            covered = following.amount_from_credit
            words += f", {rupiah(covered)} of it from the balance" if covered else ""
        words += f", on plan {row.next_plan}" if turns else ""
        yield Moment(due, 1, "○", words, "cyan")
    for at, words in (
        (row.pause_at, "paused"),
        (row.resume_at, "resumes"),
        (row.cancel_at, "canceled"),
    ):
        if at is not None:
            yield Moment(at, 1, "○", words, "yellow")
    for wallet in life.wallets:
        if wallet.status == "active" and wallet.expires_at is not None:
            words = "the wallet's token expires; link it again"
            yield Moment(wallet.expires_at, 0, "○", words, "dim")


def _attempts(invoice: "Invoice") -> Iterator[Moment]:
    row = invoice.row
    amount = rupiah(row.amount - row.amount_from_credit)
    period = f"period {row.period_index}"
    for charge in invoice.charges:
        if charge.row.next_check_at is not None:
            words = f"status query for the charge of {period}"
            yield Moment(charge.row.next_check_at, 1, "○", words, "yellow")
    planned, upcoming = invoice.retries_at, row.next_attempt_at
    if planned:
        for number, at in enumerate(planned, 1):
            last = ", the last attempt" if number == len(planned) else ""
            yield Moment(at, 1, "○", f"{amount} for {period} is attempted again{last}", "yellow")
    elif upcoming is not None and row.blocked_on == "wallet":
        words = f"{period} becomes uncollectible, {amount}, unless a wallet is linked before"
        yield Moment(upcoming, 1, "○", words, "red")
    elif upcoming is not None:
        yield Moment(upcoming, 1, "○", f"{amount} for {period} is charged", "cyan")


def _stands(found: "Subscription") -> str:
    """Say why nothing is scheduled, and what an operator can do first."""
    status, commands = str(found.row.status), [way.command for way in found.prospect.ways_out]
    match status:
        case "pending":
            return ": ".join(["a wallet", *(each for each in commands if " wallet " in each)])
        case "paused" | "unpaid":
            ways = ", or: ".join(each for each in commands if " cancel " not in each)
            return f"it stays {status} until: {ways}" if ways else f"it stays {status}"
        case _:
            return f"nothing: it is {status}"


def _when(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M")
