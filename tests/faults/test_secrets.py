"""No private data in logs, events, Flower and the command line.

A story with every kind of failure runs in real processes at the most verbose log level; then all of
its output is searched.
"""

import json
import re
from collections.abc import Iterator
from datetime import timedelta

import pytest

from billing.local import programs, servers
from billing.services.wallets import linking
from tests.commands import command
from tests.faults.fleet import pool_of
from tests.faults.ground import HOUR, Ground, grounds
from tests.flower import ask

PHONE, WALLET_PHONE, EMAIL = "081355577799", "6281366688800", "rahasia.sekali@mail.example"
OTHER_PHONE = "6281377711122"
LOGIN = "operator:correct horse"
SIGNATURE = re.compile("HMACSHA256=[A-Za-z0-9+/=]{8}")
ASKED = timedelta(seconds=61)
KEPT = {"customers": ("phone", "email")}
"""Where plain values have to be: the gateway wants them with each charge."""


@pytest.fixture
def ground() -> Iterator[Ground]:
    """An engine that writes down all it can."""
    with grounds(BILLING_LOG_LEVEL="debug") as there:
        yield there


class Heard:
    """Everything that came out, by where it came out."""

    def __init__(self) -> None:
        self.said: dict[str, str] = {}

    def add(self, where: str, text: str) -> None:
        """Keep what was said."""
        self.said[where] = self.said.get(where, "") + text

    def containing(self, secrets: dict[str, str]) -> list[str]:
        """What was found, and where; without the secret itself."""
        found = [
            f"{name} in {where}: …{_around(text, secret, name)}…"
            for where, text in self.said.items()
            for name, secret in secrets.items()
            if secret in text
        ]
        return found + [
            f"signature in {w}" for w, text in self.said.items() if SIGNATURE.search(text)
        ]


def _around(text: str, secret: str, name: str) -> str:
    at = text.index(secret)
    return text[max(at - 80, 0) : at + 120].replace(secret, f"[{name}]")


def say(ground: Ground, heard: Heard, *lines: str) -> None:
    """Run commands for people and for machines, and keep all that they said."""
    for line in lines:
        for words in (line.split(), [*line.split(), "--json"]):
            _, said, complained = command(words, ground.stack.environment)
            heard.add("billing", f"{said}\n{complained}\n")


def test_no_secret_is_in_anything_that_is_read(ground: Ground) -> None:
    """No token, phone, e-mail, key or signature is in any output, also of failures."""
    heard = Heard()
    flower = start_flower(ground)
    ground.fleet.man(["one"], beats=["one"])
    secrets = known_secrets(ground)
    people = trouble(ground, heard)
    for who in people:
        token = ground.pretend.call("GET", f"wallets/{who}")["token_id"]
        secrets[f"token of {who}"] = token
    assert all(secrets.values())
    end_badly(ground, people)
    ask_everything(ground, heard, people)

    heard.add("flower", fetched(flower, "/api/tasks?limit=10000"))
    heard.add("flower", fetched(flower, "/api/workers"))
    ground.fleet.stop()
    for log in [*ground.stack.logs.iterdir(), ground.stack.home.parent / "postgres.log"]:
        heard.add(log.name, log.read_text(errors="replace"))
    for table, text in tables(ground):
        heard.add(f"table {table}", text)
    assert "gateway.called" in heard.said["worker-one.log"]
    assert "admin.link_wallet" in heard.said["flower"]
    assert "admin.link_wallet" in heard.said["inspect"]
    assert "masked_email" in heard.said["billing"]
    assert "gateway.called" in heard.said["billing"]
    assert "OperationalError" in heard.said["worker-one.log"]
    assert heard.containing(secrets) == []


def known_secrets(ground: Ground) -> dict[str, str]:
    """What must not be said; phones without their first digits, which are written in two ways."""
    settings = ground.stack.settings
    return {
        "phone": PHONE[1:],
        "wallet phone": WALLET_PHONE[2:],
        "other phone": OTHER_PHONE[2:],
        "e-mail": EMAIL,
        "gateway key": settings.doku_secret_key.get_secret_value(),
        "token key": settings.token_key.get_secret_value(),
    }


def start_flower(ground: Ground) -> str:
    """Start Flower, and return its address."""
    port = servers.free_port()
    log = ground.stack.logs / "flower.log"
    part = programs.flower(port, log, ground.stack.environment, LOGIN)
    ground.fleet.crew.start(part.program)
    ground.poll(part.ready, "Flower answers", 40)
    return f"http://127.0.0.1:{port}"


def fetched(flower: str, path: str) -> str:
    """What Flower shows."""
    return ask(flower + path, LOGIN).body.decode()


def trouble(ground: Ground, heard: Heard) -> list[str]:
    """People with private data arrive, by every door, and some of it in the wrong place."""
    ground.plan("gold")
    say(
        ground,
        heard,
        f"customer create siti --name Siti --phone {PHONE} --email {EMAIL}",
        f"customer create x --name X --phone +{PHONE}",
        f"wallet link siti --phone +{WALLET_PHONE}",
        f"wallet link siti --phone {WALLET_PHONE}",
        "customer create budi --name Budi",
    )
    linking.refresh(ground.context, "siti")
    people = ["siti", *ground.members(3, "silver")]
    send = ground.messenger.send_task
    held = ground.script("hold", call="bind", seconds=1.5, work="done")
    send("admin.link_wallet", kwargs={"customer": "budi", "phone": OTHER_PHONE})
    ground.await_met(held)
    heard.add("inspect", json.dumps(ground.messenger.control.inspect(timeout=1).active()))
    send("admin.link_wallet", kwargs={"customer": OTHER_PHONE, "phone": "budi"})
    send("admin.link_wallet", args=["budi", {"phone": OTHER_PHONE, "email": EMAIL}])
    send("admin.refund_invoice", kwargs={"invoice": EMAIL, "amount": OTHER_PHONE})
    send("admin.no_such_task", kwargs={"phone": OTHER_PHONE, "email": EMAIL}, queue="admin")
    bound = "SELECT count(*) FROM wallets WHERE customer_id = 'budi'"
    ground.eventually(bound, 1)
    ground.work_off(timedelta(minutes=1))
    linking.refresh(ground.context, "budi")
    for who in ("siti", "budi"):
        ground.billing("subscribe", who, "gold")
    return [*people, "budi"]


def end_badly(ground: Ground, people: list[str]) -> None:
    """Every kind of bad answer, a killed child, and a database that goes away under a batch."""
    bad = ("drop_after", "wrong_signature", "garbage", "decline", "http_500")
    for kind, who in zip(bad, people, strict=True):
        ground.script(kind, who)
    for call in ("status", "balance", "tokens", "refund", "unbind"):
        for kind in ("wrong_signature", "decline", "garbage"):
            ground.script(kind, call=call)
    ground.jump(HOUR)
    ground.poll(lambda: len(ground.charges(people)) == 5, "all were tried")
    ground.poll(lambda: "in_flight" not in ground.charges(people), "all were answered")
    for delta in (ASKED, timedelta(minutes=6), timedelta(minutes=20), timedelta(days=3)):
        ground.work_off(delta)
    held = ground.script("hold", times=1, seconds=2, work="done")
    ground.jump(timedelta(days=28))
    ground.await_met(held)
    pool_of(ground.fleet.workers["one"])[0].kill()
    held = ground.script("hold", times=1, seconds=2, work="done")
    ground.jump(timedelta(days=31))
    ground.forget_leases()
    ground.await_met(held)
    ground.stop_postgres(crash=True)
    ground.ticked_out()
    ground.start_postgres()
    ground.forget_leases()
    ground.work_off(ASKED)
    ground.work_off(timedelta(minutes=20))


def ask_everything(ground: Ground, heard: Heard, people: list[str]) -> None:
    """Every command that shows something, and some that end something."""
    paid = ground.rows(
        "SELECT id, subscription_id, customer_id FROM invoices WHERE status = 'paid' ORDER BY id"
    )
    charge = ground.value("SELECT id FROM charges LIMIT 1")
    say(
        ground, heard,
        "plan list", "plan show gold", "customer list", "customer show siti", "wallet list",
        "wallet refresh siti", "wallet balance siti", "subscription list", "invoice list",
        f"subscription show {paid[0].subscription_id}", f"invoice show {paid[0].id}",
        "charge list", f"charge show {charge}", "event list", "forecast --until 2027-01-01T00:00Z",
        "clock show", "db status", "doctor", "audit", f"refund {paid[0].id} --amount 1000",
        f"wallet unlink {paid[1].customer_id}",
    )  # fmt: skip
    ground.work_off(ASKED)
    ground.stop_postgres()
    say(ground, heard, "customer show siti", f"wallet link siti --phone {WALLET_PHONE}")
    ground.start_postgres()


def tables(ground: Ground) -> Iterator[tuple[str, str]]:
    """Every table as text, but for the few columns that have to hold what they hold."""
    names = ground.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    for (name,) in names:
        kept = KEPT.get(name, ())
        rows = ground.rows(f"SELECT to_jsonb(t) - CAST(:kept AS text[]) AS row FROM {name} t",
                           kept=list(kept))  # fmt: skip
        yield name, json.dumps([row.row for row in rows], default=str)
