"""The view of `billing up`: a live screen on a terminal, plain lines elsewhere."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from billing.domain.escaping import escape
from billing.domain.instants import at_home, spoken
from billing.domain.money import rupiah
from billing.domain.periods import zone
from billing.services.reading.live_view import PLACE, Overview
from billing.store.queries.overview import News

EVENTS_SHOWN = 16
SIDES, FRAME = 4, 3
"""Columns of the frame, and its lines with the empty one between facts and events."""
SUMMARY_EVERY = 20
"""Updates between two summary lines when the output is no terminal."""
COLOURS = {
    "charge.succeeded": "green", "invoice.paid": "green", "charge.declined": "red",
    "invoice.uncollectible": "bold red", "subscription.canceled": "red", "refund.succeeded": "cyan",
    "wallet.linked": "blue", "wallet.unlinked": "magenta", "invoice.short": "yellow",
    "charge.unknown": "bold yellow", "subscription.recovered": "green",
}  # fmt: skip
KEY_COMMAND = "billing key create shop --scope write --scope refund"
"""A key with the scopes of the README's first integration, and no others."""
PASSWORDS = "for development on this machine only; generated for this stack"
HIDDEN = {"charge.claimed", "refund.sent", "customer.created", "invoice.opened"}


@dataclass(frozen=True, slots=True)
class Places:
    """The addresses of the local stack."""

    web: str
    flower: str
    login: str
    gateway: str
    logs: str
    console: str = ""
    """Name and password of the console."""


class View:
    """Keeps the last events, and draws them with the figures of the overview."""

    def __init__(self, console: Console, places: Places) -> None:
        self.console = console
        self._places = places
        self._events: deque[News] = deque(maxlen=EVENTS_SHOWN)
        self._looks = 0
        self._summary = ""
        self.last_event = 0

    def note(self, events: Sequence[News]) -> list[News]:
        """Store new events, and return those to be shown."""
        if events:
            self.last_event = events[-1].id
        shown = [event for event in events if event.kind not in HIDDEN]
        self._events.extend(shown)
        return shown

    def picture(
        self, seen: Overview, queues: dict[str, int], health: dict[str, str], webhooks: str = ""
    ) -> Panel:
        """The live view; `webhooks` says what was delivered."""
        self.note(seen.events)
        facts = Table.grid(padding=(0, 2))
        for name, value in _facts(seen, queues, health, webhooks, self._places):
            facts.add_row(Text(name, style="bold"), Text(value))
        story = Table.grid(padding=(0, 1))
        for event in self._newest(facts):
            style = COLOURS.get(event.kind, "")
            cells = (Text(cell, style, no_wrap=True, overflow="ellipsis") for cell in _cells(event))
            story.add_row(*cells)
        title = f"ovo-billing · {seen.now.astimezone(zone(PLACE)):%d %b %Y %H:%M:%S} WIB"
        return Panel(Group(facts, Text(), story), title=title, subtitle="Ctrl-C ends everything")

    def _newest(self, facts: Table) -> list[News]:
        """Return as many of the newest events as the screen has lines below the facts."""
        inside = self.console.options.update(width=max(self.console.width - SIDES, 1), height=None)
        left = self.console.height - len(self.console.render_lines(facts, inside)) - FRAME
        return list(self._events)[-left:] if left > 0 else []

    def lines(self, seen: Overview, webhooks: str = "") -> None:
        """Print new events, and a summary from time to time."""
        for event in self.note(seen.events):
            self.console.print(*_cells(event), soft_wrap=True, highlight=False, markup=False)
        text = " | ".join(f"{name}: {value}" for name, value in _state(seen, webhooks))
        if self._looks % SUMMARY_EVERY == 0 and text != self._summary:
            self._summary = text
            self.console.print(f"-- {text}", soft_wrap=True, highlight=False, markup=False)
        self._looks += 1


def _facts(
    seen: Overview, queues: dict[str, int], health: dict[str, str], webhooks: str, places: Places
) -> list[tuple[str, str]]:
    return [
        *_state(seen, webhooks),
        ("queues", ", ".join(f"{name} {length}" for name, length in queues.items())),
        ("processes", _processes(health)),
        ("console", f"{places.web}/   {places.console}"),
        ("API", f"{places.web}/v1   key: {KEY_COMMAND}"),
        ("Flower", f"{places.flower}   {places.login}"),
        ("passwords", PASSWORDS),
        ("gateway", places.gateway),
        ("logs", places.logs),
    ]


def _state(seen: Overview, webhooks: str) -> list[tuple[str, str]]:
    figures = seen.figures
    today = (
        f"{figures.paid} paid, {rupiah(figures.paid_amount)} in"
        f" · {figures.refunded} refunded, {rupiah(figures.refunded_amount)} back"
        f" · {figures.declined} declined · {figures.unresolved} unresolved"
        f" · {rupiah(figures.owed_amount)} owed"
    )
    statuses = ", ".join(
        f"{count} {status}" for status, count in sorted(seen.subscriptions.items())
    )
    facts = [("today", today), ("subscriptions", statuses or "none yet")]
    if webhooks:
        facts.append(("webhooks", escape(webhooks)))
    if seen.stopped_at is not None:
        why = f" ({escape(seen.stopped_reason)})" if seen.stopped_reason else ""
        since = spoken(at_home(seen.stopped_at))
        facts.insert(0, ("charging", f"stopped since {since}{why}: billing start-charging"))
    return facts


def _processes(health: dict[str, str]) -> str:
    troubled = [f"{name} is {state}" for name, state in health.items() if state != "running"]
    return ", ".join(troubled) or f"all {len(health)} running: {', '.join(health)}"


def _cells(event: News) -> tuple[str, str, str, str]:
    at = event.at.astimezone(zone(PLACE))
    return (
        f"{at:%H:%M:%S}", f"{event.kind:<26}", f"{escape(event.customer_id or ''):<8}",
        escape(_details(event)),
    )  # fmt: skip


def _details(event: News) -> str:
    data = event.data
    words = []
    amount, short, why = data.get("amount"), data.get("shortfall"), data.get("why")
    if isinstance(amount, int):
        words.append(rupiah(amount))
    if isinstance(short, int):
        words.append(f"shortfall {rupiah(short)}")
    if event.first_payment is not None and event.kind == "charge.succeeded":
        words.append(f"first_payment {str(event.first_payment).lower()}")
    words += [str(data[key]) for key in ("fault", "why", "plan") if data.get(key)]
    if event.reason and event.reason != why:
        words.append(f"({event.reason})")
    if event.actor not in {"scheduler", ""}:
        words.append(f"by {event.actor}")
    return " ".join(words)
