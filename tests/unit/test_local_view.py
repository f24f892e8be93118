"""The output of `billing up`: text from outside has no effect on the terminal or the view."""

from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO

import pytest
from rich.console import Console

from billing.local.view import KEY_COMMAND, Places, View
from billing.services.reading.live_view import Overview
from billing.store.queries.overview import Collections, News
from tests.house.tree import ROOT

NOW = datetime(2026, 1, 31, 2, tzinfo=UTC)
FIGURES = Collections(0, 0, 0, 0, 0, 0, 0)
PLACES = Places(
    web="http://127.0.0.1:5557", flower="http://127.0.0.1:5555", login="operator / pass",
    gateway="http://127.0.0.1:5556", logs="logs",
)  # fmt: skip


def seen(reason: str) -> Overview:
    """An overview with one event."""
    event = News(
        id=1, at=NOW, kind="invoice.voided", customer_id=reason, data={"why": ""},
        first_payment=None, reason=reason, actor="operator",
    )  # fmt: skip
    return Overview(NOW, FIGURES, {}, [event])


@pytest.mark.parametrize("reason", ["\x1b[2J\x9b\u202e\n", "[/b]", "[bold"])
@pytest.mark.parametrize("live", [True, False])
def test_a_reason_does_nothing_but_being_shown(reason: str, live: bool) -> None:
    """Neither to the terminal nor to the view, whose own marks are in brackets."""
    out = StringIO()
    console = Console(file=out, width=200)
    view = View(console, PLACES)
    if live:
        console.print(view.picture(seen(reason), {}, {}))
    else:
        view.lines(seen(reason))

    assert not {"\x1b", "\x9b", "\u202e"} & set(out.getvalue())
    assert r"\x1b[2J" in out.getvalue() or reason in out.getvalue()


@pytest.mark.parametrize("live", [True, False])
def test_stopped_charging_is_the_first_that_is_shown(live: bool) -> None:
    """Since when, why, and the command that starts it; nothing of it while charging works."""
    out = StringIO()
    console = Console(file=out, width=200)
    stopped = replace(seen("x"), stopped_at=NOW, stopped_reason="[/b] a drill\x1b[2J")
    for overview in (seen("x"), stopped):
        if live:
            console.print(View(console, PLACES).picture(overview, {}, {}))
        else:
            View(console, PLACES).lines(overview)

    shown = out.getvalue()
    told = r"stopped since 2026-01-31 09:00:00+07:00 ([/b] a drill\x1b[2J): billing start-charging"
    assert shown.count("charging") == 2
    assert shown.replace("│", "").count(told) == 1


def test_the_password_is_in_the_picture_and_in_no_line() -> None:
    """Lines go where there is no terminal: into a file that others may read."""
    out = StringIO()
    console = Console(file=out, width=200)
    View(console, PLACES).lines(seen("x"))
    assert "pass" not in out.getvalue()

    console.print(View(console, PLACES).picture(seen("x"), {}, {}))
    assert "operator / pass" in out.getvalue()


def test_the_suggested_key_has_the_scopes_of_the_first_integration() -> None:
    """The command is that of the README: no key of a first test may do everything."""
    assert f"$({KEY_COMMAND} --json" in (ROOT / "README.md").read_text()
    out = StringIO()
    console = Console(file=out, width=200)
    console.print(View(console, PLACES).picture(seen("x"), {}, {}))
    assert KEY_COMMAND in out.getvalue()
    assert "admin" not in out.getvalue()


def test_the_picture_says_what_its_passwords_are_for() -> None:
    """They stay on the screen, which says that they are for this machine only."""
    out = StringIO()
    console = Console(file=out, width=200)
    console.print(View(console, PLACES).picture(seen("x"), {}, {}))
    assert "for development on this machine only" in out.getvalue()


def test_the_picture_fits_a_small_terminal() -> None:
    """80 columns and 24 lines with everything that it can have: the newest events are shown."""
    out = StringIO()
    console = Console(file=out, width=80, height=24)
    events = [
        News(
            id=n, at=NOW, kind="charge.succeeded", customer_id="cust-12345", data={"amount": n},
            first_payment=True, reason="r" * 60, actor="operator",
        )
        for n in range(1, 40)
    ]  # fmt: skip
    stopped = Overview(NOW, FIGURES, {"active": 5}, events, NOW, "a drill")
    queues = dict.fromkeys(("charges", "ticks", "admin", "webhooks"), 0)
    health = dict.fromkeys(("worker", "webhooks", "beat", "flower", "web", "sandbox"), "running")

    console.print(View(console, PLACES).picture(stopped, queues, health, "12 delivered"))

    shown = out.getvalue().splitlines()
    assert len(shown) <= 24
    assert max(map(len, shown)) <= 80
    assert "stopped since" in shown[1]
    assert "Rp 39" in shown[-2]
