"""DOKU's notifications over real HTTP: from the gateway's process to the web server and rows."""

import http.client
import io
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from threading import Barrier
from time import perf_counter
from typing import Any

import pytest
import structlog

from billing import logs
from billing.services.collecting import notifications as receiving
from billing.services.collecting import reconciling
from billing.store.session import Database
from billing.web import notifications
from tests.integration.engine import START, Engine
from tests.integration.web_server import about, post, serving, signed

PATH = "/doku/notifications"
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
PERSONAL = ("081234567890", "ani@example.com", "INV 081234567890")


@pytest.fixture
def port(engine: Engine) -> Iterator[int]:
    """The port of a web server that takes the engine's notifications."""
    with serving(notifications.router(engine.context)) as number:
        yield number


def url(port: int) -> str:
    """The address that is entered at DOKU."""
    return f"http://127.0.0.1:{port}{PATH}"


def send(engine: Engine, port: int, body: bytes, **changed: str) -> int:
    """Send a signed body; `changed` replaces headers after signing."""
    secret, client_id = engine.gateway.secret_key, engine.gateway.client_id
    headers = signed(body, PATH, client_id, secret) | changed
    return post(port, PATH, body, headers)[0]


def notices(engine: Engine, number: str) -> list[Any]:
    """What the gateway's process has sent about a payment, and how it was answered."""
    told = engine.gateway.control("GET", "notices")["notices"]
    return [notice["status"] for notice in told if notice["number"] == number]


def lost(engine: Engine, port: int, **notice: Any) -> tuple[str, dict[str, Any]]:
    """A payment with a lost answer, whose next query is due in an hour or later; and its notice.

    The notice is sent on request, as from DOKU's back office.
    """
    customer, subscription = engine.begun()
    engine.script("drop_after", customer)
    engine.script("http_500", customer, "status", times=3)
    engine.advance(START + 2 * HOUR)
    [charge] = engine.charges(subscription)
    assert charge["status"] == "unknown"
    given = {"number": charge["gateway_number"], "url": url(port)} | notice
    engine.gateway.control("POST", "notices", given)
    count = notice.get("copies", 1) * len(notice.get("says", "SUCCESS").split())
    engine.until(
        lambda: len(notices(engine, charge["gateway_number"])) == count, "the notices are sent"
    )
    return customer, dict(charge)


def status(engine: Engine, charge: dict[str, Any]) -> str:
    """The present status of a charge."""
    return str(engine.one("SELECT status FROM charges WHERE id = :id", id=charge["id"]))


def events(engine: Engine) -> int:
    """How many events there are."""
    return int(engine.one("SELECT count(*) FROM events"))


@pytest.mark.parametrize(
    "notice",
    [
        {},
        {"copies": 2},
        {"seconds": 0.3},
        {"says": "FAILED SUCCESS"},
        {"says": "SUCCESS FAILED"},
        {"says": "FAILED"},
        {"amount": "wrong"},
        {"says": "PENDING SUCCESS"},
    ],
    ids=["once", "twice", "late", "in order", "out of order", "wrong", "wrong amount", "pending"],
)
def test_a_lost_answer_is_settled_by_one_query_after_the_notice(
    engine: Engine, port: int, notice: dict[str, Any]
) -> None:
    """However it is sent: the gateway is asked once, and its answer is recorded."""
    _, charge = lost(engine, port, **notice)
    answered = notices(engine, charge["gateway_number"])
    assert answered == [200] * len(answered)
    assert status(engine, charge) == "unknown"

    reconciling.ask(engine.context, reconciling.lease_due(engine.context, 10))

    assert status(engine, charge) == "succeeded"
    queries = engine.one("SELECT status_queries FROM charges WHERE id = :id", id=charge["id"])
    assert queries <= charge["status_queries_count"]


def test_a_forged_notice_changes_nothing(engine: Engine, port: int) -> None:
    """Signed with another secret: 401, and no row is read or written."""
    _, charge = lost(engine, port, signature="forged")

    assert notices(engine, charge["gateway_number"]) == [401]
    next_check = engine.one("SELECT next_check_at FROM charges WHERE id = :id", id=charge["id"])
    assert next_check == charge["next_check_at"]
    assert engine.told("charge.notified") == []
    engine.advance(START + timedelta(days=2))


@pytest.mark.parametrize("copies", [1, 2])
def test_a_notice_that_meets_its_live_answer_costs_nothing(
    engine: Engine, port: int, copies: int
) -> None:
    """The usual case: DOKU answers and notifies at the same moment; no query follows."""
    customer, subscription = engine.begun()
    engine.script("notify", customer, url=url(port), copies=copies)
    engine.run()
    [charge] = engine.charges(subscription)
    number = charge["gateway_number"]
    engine.until(lambda: len(notices(engine, number)) == copies, "the notices are sent")

    assert notices(engine, number) == [200] * copies
    assert status(engine, charge) == "succeeded"
    assert engine.told("charge.notified") == []
    assert engine.due_ticks() == ()
    assert charge["status_queries_count"] == 0


def test_a_notice_of_a_payment_that_ends_later_is_used(engine: Engine, port: int) -> None:
    """PENDING until the customer agrees, hours later: the next query would be a day away."""
    customer, subscription = engine.begun()
    engine.script("pending", customer, end="SUCCESS", after_queries=3)
    engine.script("notify", customer, url=url(port))
    engine.advance(START + 2 * HOUR)
    [charge] = engine.charges(subscription)
    assert charge["status"] == "pending"
    number = charge["gateway_number"]
    assert notices(engine, number) == []

    engine.context.gateway.check_status(number, number, charge["amount"])
    engine.until(lambda: notices(engine, number) == [200], "the notice is sent")
    engine.run()

    assert status(engine, charge) == "succeeded"


def test_header_names_and_retries_of_any_age_are_accepted(engine: Engine, port: int) -> None:
    """DOKU repeats for 12 hours, and proxies change the case of header names."""
    _, charge = lost(engine, port, signature="forged")
    body = about(charge["gateway_number"])
    headers = signed(body, PATH, engine.gateway.client_id, engine.gateway.secret_key)
    for change in (str.lower, str.upper):
        named = {change(name): value for name, value in headers.items()}
        assert post(port, PATH, body, named)[0] == 200

    assert len(engine.told("charge.notified")) == 1
    engine.run()


def test_other_peoples_payments_are_accepted_and_change_nothing(engine: Engine, port: int) -> None:
    """DOKU repeats everything but 2xx, and a repeat would not help."""
    before = events(engine)
    for body in (
        about("OTHER-1"), b"{}", about("OTHER-1", "REFUNDED"), b'{"ovo_account":{}}',
    ):  # fmt: skip
        assert send(engine, port, body) == 200

    assert events(engine) == before


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"\xff\0", 400),
        (b"[" * 60_000, 400),
        (b'{"order":[],"transaction":{"status":"SUCCESS"}}', 400),
        (b'{"order":{"amount":1e999999999999999999999},"transaction":{"status":"SUCCESS"}}', 400),
        (b'{"order":{},"order":{}}', 400),
        (b" " * 65_537, 413),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_hostile_body_is_refused_in_one_word(
    engine: Engine, port: int, body: bytes, expected: int
) -> None:
    """Unsigned it is 401, signed 400, too long 413; nothing is written, and no text leaks."""
    before = events(engine)
    headers = signed(body, PATH, engine.gateway.client_id, engine.gateway.secret_key)

    got, text = post(port, PATH, body, headers)
    assert (got, len(text.split()) <= 4, b"Traceback" in text) == (expected, True, False)
    assert send(engine, port, body, Signature="HMACSHA256=AAAA") in {401, 413}
    assert events(engine) == before


def test_logs_tell_nothing_personal(
    engine: Engine, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an unknown order only a well-formed number is logged; of a refused body nothing."""
    stream = io.StringIO()
    before = structlog.get_config()
    logs.configure("json", "debug", stream)
    for module in (notifications, receiving):
        monkeypatch.setattr(module, "log", structlog.get_logger("test"))
    try:
        for number in ("OTHER-1", *PERSONAL):
            body = json.loads(about(number))
            body["customer"] = {"phone": PERSONAL[0], "email": PERSONAL[1], "name": "Ani"}
            assert send(engine, port, json.dumps(body).encode()) == 200
            assert send(engine, port, json.dumps([body]).encode()) == 400
            assert send(engine, port, json.dumps(body).encode(), Signature="x") == 401
    finally:
        structlog.configure(**before)

    written = stream.getvalue()
    assert written.count("notification.ignored") == 1 + len(PERSONAL)
    assert '"number": "OTHER-1"' in written
    assert [word for word in ("0812", "ani@", "Ani", "HMACSHA256", "Traceback")
            if word in written] == []  # fmt: skip


def test_a_slow_body_is_given_up(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender that stops in the middle holds a connection for seconds, and disturbs no other."""
    monkeypatch.setattr(notifications, "BODY_SECONDS", 0.5)
    with serving(notifications.router(engine.context)) as port:
        slow = socket.create_connection(("127.0.0.1", port), timeout=10)
        with slow:
            head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{"
            slow.sendall(head.encode())
            assert send(engine, port, about("OTHER-1")) == 200
            assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_a_body_without_an_end_is_cut_off(engine: Engine, port: int) -> None:
    """A chunked body has no stated length: it is refused when it exceeds the limit."""

    def parts() -> Iterator[bytes]:
        for _ in range(200):
            yield b" " * 1000

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", PATH, parts(), encode_chunked=True)
        assert connection.getresponse().status == 413
    except (BrokenPipeError, ConnectionResetError):
        pass  # the server has closed the connection already
    finally:
        connection.close()


def test_a_sender_that_goes_away_disturbs_nobody(engine: Engine, port: int) -> None:
    """The connection ends in the middle of a body."""
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as gone:
            gone.sendall(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{".encode())
    assert send(engine, port, about("OTHER-1")) == 200


@contextmanager
def without_database(engine: Engine) -> Iterator[int]:
    """A web server whose database cannot be reached."""
    away = Database("postgresql+psycopg://billing@127.0.0.1:1/nothing")
    with serving(notifications.router(replace(engine.context, database=away))) as port:
        yield port


def test_without_a_database_doku_is_asked_to_repeat(engine: Engine) -> None:
    """503 for a genuine notice; a forged one is refused without asking the database."""
    with without_database(engine) as port:
        assert send(engine, port, about("OTHER-1")) == 503
        assert send(engine, port, about("OTHER-1"), Signature="x") == 401
        assert send(engine, port, b"[]") == 400


def test_only_the_configured_path_and_method_are_served(engine: Engine, port: int) -> None:
    """The path is signed, so that another one could never be genuine."""
    body = about("OTHER-1")
    headers = signed(body, PATH, engine.gateway.client_id, engine.gateway.secret_key)
    assert post(port, f"{PATH}/", body, headers)[0] in {307, 404}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", PATH)
    assert connection.getresponse().status == 405
    connection.close()


def test_many_notices_at_once_are_answered(engine: Engine, port: int) -> None:
    """Two hundred from eight senders, of which one in two is about the same charge."""
    _, charge = lost(engine, port, signature="forged")
    bodies = [about(charge["gateway_number"]), about("OTHER-1")] * 100
    barrier, times = Barrier(8), []

    def sender(mine: list[bytes]) -> set[int]:
        barrier.wait(10)
        found = set()
        for body in mine:
            begun = perf_counter()
            found.add(send(engine, port, body))
            times.append(perf_counter() - begun)
        return found

    with ThreadPoolExecutor(8) as pool:
        answers = set().union(*pool.map(sender, [bodies[i::8] for i in range(8)]))

    assert answers == {200}
    assert sorted(times)[len(times) // 2] < 1.0  # seconds; 0.05 on two busy cores
    assert len(engine.told("charge.notified")) == 1
    engine.run()
    assert status(engine, charge) == "succeeded"
