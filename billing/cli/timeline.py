"""Print a subscription's timeline: past periods, charges and events, and what comes next.

Periods, charges and events are formatted here, and nothing is decided about them. Lines are wrapped
to the terminal; without one, each moment is one line.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from billing.cli import output
from billing.domain.escaping import escape
from billing.domain.money import rupiah

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
MARKS = {
    "subscription.paused": ("‖", "yellow"),
    "subscription.resumed": ("▶", "green"),
    "subscription.activated": ("●", "green"),
    "subscription.trial_started": ("●", "cyan"),
    "subscription.canceled": ("■", "red"),
    "subscription.completed": ("■", "green"),
    "subscription.marked_unpaid": ("■", "red"),
    "wallet.linked": ("●", "green"),
    "wallet.lost": ("●", "red"),
}
LATE = timedelta(minutes=1)
"""An answer that took longer than this is shown as late."""

Shown = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of the timeline: instant, mark, text and style."""

    at: datetime
    rank: int
    mark: str
    words: str
    style: str = ""
    aside: str = ""


def draw(found: Shown) -> None:
    """Print a subscription's past and what comes next."""
    place = ZoneInfo(found["timezone"])
    earlier = found["earlier"]
    if earlier["invoices"]:
        output.say(
            f"\n{earlier['invoices']} earlier invoices, {rupiah(earlier['amount'])} paid;"
            " show all with --all"
        )
    output.say("")
    before = ""
    for moment in sorted(_past(found), key=lambda each: (each.at, each.rank)):
        before = _print(moment, place, before)
    output.say("\nnext")
    if found["waits_for"]:
        output.say(f"it waits for {found['waits_for']}")
    before = ""
    coming = sorted(_coming(found), key=lambda each: each.at)
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


def _past(found: Shown) -> Iterator[Moment]:
    invoices = found["invoices"]
    begun = [(each["period_start"], each["period_index"]) for each in invoices]
    wide = max((len(rupiah(each["amount"])) for each in invoices), default=0)
    for invoice in invoices:
        yield _heading(invoice, wide)
        charges = invoice["charges"]
        for charge in charges:
            late = [index for start, index in begun if start <= charge["created_at"]]
            named = max(late, default=invoice["period_index"]) != invoice["period_index"]
            yield _charge(charge, f" for period {invoice['period_index']}" if named else "")
        yield from (_refund(refund) for refund in invoice["refunds"])
    yield from _events(found["life"])
    for wallet in found["wallets"]:
        yield from _wallet(wallet, found["since"])


def _heading(invoice: Shown, wide: int) -> Moment:
    status = str(invoice["status"])
    late = invoice["created_at"] - invoice["period_start"] >= LATE
    opened = f", opened {_when(invoice['created_at'])}" if late else ""
    amount = f"{rupiah(invoice['amount']):>{wide}}"
    covered = f", {rupiah(invoice['credited'])} from the balance" if invoice["credited"] else ""
    what = "period" if invoice["change_index"] == 0 else "change of period"
    return Moment(
        invoice["period_start"],
        1,
        "┬",
        f"{what} {invoice['period_index']:<3} {amount}  {status}{covered}{opened}",
        output.STYLES.get(status, ""),
        f"  {invoice['id']}",
    )


def _charge(charge: Shown, of: str) -> Moment:
    status = str(charge["status"])
    mark, words = CHARGES[status]
    words += of
    if charge["fault"]:
        words += f": {str(charge['fault']).replace('_', ' ')}"
    if charge["code"] != charge["fault"]:
        words += f" ({charge['code']})"
    extras = [
        "first payment" if charge["first_payment"] and status == "succeeded" else "",
        f"attempt {charge['ordinal']}" if charge["ordinal"] > 1 else "",
        "requested by the operator" if charge["trigger"] == "operator" else "",
        "a second payment" if charge["surplus"] else "",
        f"settled {_when(charge['settled_at'])}" if _was_late(charge) else "",
        f"parked: billing charge resolve {charge['id']}" if charge["parked_at"] else "",
    ]
    words = ", ".join([words, *filter(None, extras)])
    return Moment(charge["created_at"], 2, mark, words, output.STYLES.get(status, ""))


def _was_late(charge: Shown) -> bool:
    settled = charge["settled_at"]
    return settled is not None and settled - charge["created_at"] >= LATE


def _refund(refund: Shown) -> Moment:
    status = str(refund["status"])
    words = REFUNDS.get(status, "is being refunded")
    why = f" ({refund['reason']})" if refund["reason"] else ""
    return Moment(refund["created_at"], 3, "↩", f"{rupiah(refund['amount'])} {words}{why}")


def _events(life: Sequence[Shown]) -> Iterator[Moment]:
    """Yield a line for each event; consecutive wallet checks become one line."""
    looks: list[Shown] = []
    for event in life:
        if event["kind"] == "dunning.fell_short":
            if looks and looks[-1]["invoice"] != event["invoice"]:
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


def _short(looks: Sequence[Shown]) -> Moment:
    first, last = looks[0], looks[-1]
    words = f"{rupiah(last['data']['shortfall'])} short"
    if len(looks) > 1:
        words += f", checked {len(looks)} times until {_when(last['at'])}"
    return Moment(first["at"], 3, "◌", words, "yellow")


def _event(event: Shown) -> Moment:
    kind = str(event["kind"])
    noun, _, verb = kind.partition(".")
    words = [(verb if noun == "subscription" else f"{noun} {verb}").replace("_", " ")]
    words += _details(event["data"], event["at"].tzinfo)
    if event["actor"] != "scheduler":
        words += [f"by {event['actor']}"]
    if event["reason"]:
        words[-1] += f" ({event['reason']})"
    mark, style = MARKS.get(kind, ("●" if noun in {"subscription", "period"} else "!", ""))
    rank = 0 if kind in AT_ITS_BEGINNING else 4
    return Moment(event["at"], rank, mark, ", ".join(words), style)


def _details(data: Shown, place: Any) -> Iterator[str]:
    if "first" in data and "last" in data:
        only = data["first"] == data["last"]
        yield str(data["first"]) if only else f"{data['first']} to {data['last']}"
    for name, value in data.items():
        if name.endswith("_at") and value:
            at = datetime.fromisoformat(value).astimezone(place)
            yield f"{name.removesuffix('_at').replace('_', ' ')} at {_when(at)}"
        elif name in {"amount", "shortfall"}:
            yield rupiah(value)
        elif name == "net" and value:
            yield f"{rupiah(abs(value))} {'to pay' if value > 0 else 'for the balance'}"
        elif name in {"coupon", "title"} or (name in {"why", "reference"} and value):
            yield str(value)
        elif name == "plan":
            yield f"plan {value}"


def _wallet(wallet: Shown, since: datetime) -> Iterator[Moment]:
    mark, style = MARKS["wallet.linked"]
    if wallet["bound_at"] >= since:
        yield Moment(wallet["bound_at"], 0, mark, f"wallet {wallet['masked_phone']} linked", style)
    if wallet["closed_at"] is not None and wallet["closed_at"] >= since:
        mark, style = MARKS["wallet.lost"]
        why = f": {wallet['reason']}" if wallet["reason"] else ""
        words = f"wallet {wallet['masked_phone']} {wallet['status']}{why}"
        yield Moment(wallet["closed_at"], 4, mark, words, style)


def _coming(found: Shown) -> Iterator[Moment]:
    """Yield upcoming steps; rank 0 is for those outside the subscription itself."""
    for invoice in found["invoices"]:
        yield from _attempts(invoice)
    if found["ended_at"] is not None:
        return  # its plans no longer apply, even if their dates are in the future
    due, resumes = found["next_due_at"], found["resume_at"]
    ends = [at for at in (found["cancel_at"], found["pause_at"]) if at is not None]
    if due is not None and not any(due >= end for end in ends):
        trial = "the trial ends; " if found["status"] == "trialing" else ""
        turns = found["change_at"] is not None and due >= found["change_at"]
        price = rupiah(found["next_amount"] if turns else found["amount"])
        words = f"{trial}the next period begins, {price}"
        words += f", on plan {found['next_plan']}" if turns else ""
        yield Moment(due, 1, "○", words, "cyan")
    for at, words in (
        (found["pause_at"], "paused"),
        (resumes, "resumes"),
        (found["cancel_at"], "canceled"),
    ):
        if at is not None:
            yield Moment(at, 1, "○", words, "yellow")
    for wallet in found["wallets"]:
        if wallet["status"] == "active":
            words = "the wallet's token expires; link it again"
            yield Moment(wallet["expires_at"], 0, "○", words, "dim")


def _attempts(invoice: Shown) -> Iterator[Moment]:
    amount = rupiah(invoice["amount"] - invoice["credited"])
    period = f"period {invoice['period_index']}"
    for charge in invoice["charges"]:
        if charge["next_check_at"] is not None:
            words = f"status query for the charge of {period}"
            yield Moment(charge["next_check_at"], 1, "○", words, "yellow")
    planned, upcoming = invoice["retries_at"], invoice["next_attempt_at"]
    if planned:
        for at, following in pairwise([*planned, None]):
            last = "" if following else ", the last attempt"
            yield Moment(at, 1, "○", f"{amount} for {period} is attempted again{last}", "yellow")
    elif upcoming is not None and invoice["blocked_on"] == "wallet":
        words = f"{period} becomes uncollectible, {amount}, unless a wallet is linked before"
        yield Moment(upcoming, 1, "○", words, "red")
    elif upcoming is not None:
        yield Moment(upcoming, 1, "○", f"{amount} for {period} is charged", "cyan")


def _stands(found: Shown) -> str:
    """Say why nothing is scheduled, and what an operator can do first."""
    status, commands = str(found["status"]), [way["command"] for way in found["ways_out"]]
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
