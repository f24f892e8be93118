"""Who may call the HTTP interface, and what it answers to everything that it does not accept."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from billing.domain.events import OPERATOR
from billing.services.operating import api_keys, used_keys
from billing.store.queries import commands
from billing.web import requests as reading
from tests.integration.engine import START, Engine
from tests.integration.races import Hold
from tests.integration.web import Client, Web, serving

CUSTOMER = {"name": "Ani"}
NOWHERE = "00000000-0000-4000-8000-000000000000"
LISTS = ("plans", "coupons", "customers", "customers/c1/credits", "wallets", "subscriptions",
         "invoices", "charges", "refunds")  # fmt: skip
READS = ("/v1/me", "/v1/events", "/v1/customers/c1", "/v1/customers/c1/wallet", "/v1/plans/p",
         *(f"/v1/{name}" for name in LISTS),
         f"/v1/subscriptions/{NOWHERE}", f"/v1/subscriptions/{NOWHERE}/upcoming",
         f"/v1/invoices/{NOWHERE}", f"/v1/charges/{NOWHERE}",
         f"/v1/refunds/{NOWHERE}", "/v1/webhook-endpoints",
         f"/v1/webhook-endpoints/{NOWHERE}", "/v1/webhook-deliveries")  # fmt: skip
ADMINS = (("GET", "/v1/customers/c1/export", None), ("POST", "/v1/customers/c1/erase", None))
_SUBSCRIPTION = f"/v1/subscriptions/{NOWHERE}"
WRITES: tuple[tuple[str, str, Any], ...] = (
    ("PUT", "/v1/customers/c1", CUSTOMER),
    ("PUT", "/v1/plans/p", {"amount": 1, "every": "1 month"}),
    ("POST", "/v1/plans/p/archive", None),
    ("POST", "/v1/coupons", {"code": "A", "percent": 1}),
    ("POST", "/v1/customers/c1/wallet-links", {"phone": "628123456789"}),
    ("DELETE", "/v1/customers/c1/wallet", None),
    ("POST", "/v1/customers/c1/credits", {"amount": 1, "reason": "x"}),
    ("POST", "/v1/subscriptions", {"customer": "c1", "plan": "p"}),
    ("POST", f"{_SUBSCRIPTION}/cancel", {}),
    ("POST", f"{_SUBSCRIPTION}/withdraw-cancel", None),
    ("POST", f"{_SUBSCRIPTION}/pause", None),
    ("POST", f"{_SUBSCRIPTION}/resume", None),
    ("POST", f"{_SUBSCRIPTION}/change", {"quantity": 2}),
    ("POST", f"{_SUBSCRIPTION}/extras", {"title": "Towel", "amount": 1}),
    ("POST", f"{_SUBSCRIPTION}/coupon", {"code": "A"}),
    ("POST", f"/v1/invoices/{NOWHERE}/retry", None),
    ("POST", f"/v1/invoices/{NOWHERE}/void", None),
)
REFUND = ("POST", f"/v1/invoices/{NOWHERE}/refunds", {"reason": "x"})
_ENDPOINT = f"/v1/webhook-endpoints/{NOWHERE}"
ADMINISTRATION: tuple[tuple[str, str, Any], ...] = (
    ("POST", "/v1/webhook-endpoints", {"url": "https://shop.example/hook"}),
    ("PATCH", _ENDPOINT, {"description": "x"}),
    ("DELETE", _ENDPOINT, None),
    ("POST", f"{_ENDPOINT}/rotate-secret", None),
    ("POST", f"{_ENDPOINT}/test", None),
    ("POST", f"{_ENDPOINT}/replay", {"after": 0}),
    ("POST", f"/v1/webhook-deliveries/{NOWHERE}/resend", None),
)
MATRIX = (
    *(("admin", *call) for call in ADMINISTRATION),
    *(("read", "GET", path, None) for path in READS),
    ("read", "POST", f"{_SUBSCRIPTION}/preview", {"action": "cancel"}),
    *(("write", *call) for call in WRITES),
    ("refund", *REFUND),
    *(("admin", *call) for call in ADMINS),
)


@pytest.mark.parametrize(("scope", "method", "path", "body"), MATRIX)
def test_each_path_needs_its_scope(web: Web, scope: str, method: str, path: str, body: Any) -> None:
    """No key: 401. A key without the scope: 403. With it, the call reaches its service."""
    assert web.stranger().refused(method, path, body)["status"] == 401
    others = {
        "read": (), "write": ("read", "refund"), "refund": ("read", "write"),
        "admin": ("read", "write", "refund"),
    }[scope]  # fmt: skip
    for other in others:
        assert web.client(other).refused(method, path, body)["type"] == "forbidden"
    for good in {scope, "admin"}:
        assert web.client(good).send(method, path, body).status_code not in {401, 403, 500}


def test_every_path_is_in_the_scope_matrix(web: Web) -> None:
    """A path that is added is added there too."""
    document = web.stranger().ok("GET", "/v1/openapi.json")
    free = {"/health", "/ready"}
    calls = {
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method in methods
        if path not in free
    }
    found = {(method, _template(path, document["paths"])) for _, method, path, _ in MATRIX}
    assert found == calls


def _template(path: str, templates: dict[str, Any]) -> str:
    parts = path.split("/")
    [found] = [
        template
        for template in templates
        if len(template.split("/")) == len(parts)
        and all(
            t == p or t.startswith("{") for t, p in zip(template.split("/"), parts, strict=True)
        )
    ]
    return found


@pytest.mark.parametrize("key", ["", "obk_live_", "nonsense", "obk_live_" + "a" * 38, "ä" * 9])
def test_a_key_that_is_none_is_refused(web: Web, key: str) -> None:
    """A mistyped key gets one problem document, and so does one that only looks like a key."""
    assert web.stranger().refused("GET", "/v1/me")["type"] == "unauthorized"
    header = f"Bearer {key}".encode("latin-1", "replace").decode("latin-1")
    assert web.stranger().refused("GET", "/v1/me", Authorization=header)["status"] == 401


def test_a_key_is_refused_once_it_is_revoked_or_expired(engine: Engine, web: Web) -> None:
    """At once: nothing remembers a valid key."""
    client = web.client("read", name="shop")
    assert client.ok("GET", "/v1/me")["name"] == "shop"
    api_keys.revoke(engine.context, "shop", OPERATOR)
    assert client.refused("GET", "/v1/me")["status"] == 401


def test_the_database_holds_no_key(engine: Engine, web: Web) -> None:
    """Only the first letters, which are the same for every key, and a keyed hash."""
    key = web.client("read").key
    assert key is not None
    stored = [engine.rows(f"SELECT * FROM {table}") for table in ("api_keys", "events")]
    assert key[:12] in str(stored)
    assert key[13:] not in str(stored)


BROKEN = (
    (b"{", 400), (b"[1", 400), (b'{"name": "A", "name": "B"}', 400), (b'{"name": "\\u0000"}', 400),
    (b'{"name": "\xff"}', 400), (b"[" * 5_000, 400), (b'{"name": 1e999}', 400),
    (b'{"name": NaN}', 400), (b'{"name": ' + b"9" * 400 + b"}", 400), (b'{"name": "\\ud800"}', 400),
    (b'{"name": 5}', 422), (b'{"name": true}', 422), (b'{"name": null}', 422), (b"[]", 422),
    (b'"text"', 422), (b"null", 422), (b"{}", 422), (b'{"name": "A", "nickname": "B"}', 422),
    (b'{"name": ""}', 422), (b'{"name": "' + b"x" * 70_000 + b'"}', 413),
    (b'{"name": "a\\nb"}', 422), (b'{"name": "A", "phone": "abc"}', 422),
)  # fmt: skip


@pytest.mark.parametrize(("body", "status"), BROKEN)
def test_a_broken_body_is_refused_and_nothing_is_written(
    engine: Engine, web: Web, body: bytes, status: int
) -> None:
    """Every kind of wrong body gets a problem document; a refusal never writes."""
    client = web.client()
    before = engine.counts()
    assert client.refused("PUT", "/v1/customers/c1", body)["status"] == status
    assert engine.counts() == before


def test_a_body_must_be_json(web: Web) -> None:
    """A form would be read in a different way by each reader."""
    said = web.client().refused(
        "PUT", "/v1/customers/c1", b"name=Ani", Content_Type="application/x-www-form-urlencoded"
    )
    assert said["status"] == 415


def test_paths_and_methods_that_do_not_exist_are_problems(web: Web) -> None:
    """Also for a path written in another way: it never reaches a handler."""
    client = web.client()
    for path in ("/", "/v1", "/v1/nothing", "/v1/customers/", "//v1/me", "/v1/%6de/x"):
        assert client.refused("GET", path)["status"] == 404
    assert client.refused("PATCH", "/v1/customers/c1", {})["status"] == 405


def test_an_unknown_id_says_which_list_to_look_at(web: Web) -> None:
    """404 with a sentence."""
    said = web.client().refused("GET", f"/v1/invoices/{NOWHERE}")
    assert (said["status"], said["type"]) == (404, "not_found")
    assert NOWHERE in said["detail"]


class TestIdempotencyKey:
    """A POST that is sent twice acts once."""

    def test_a_key_is_required_where_money_moves(self, web: Web) -> None:
        """Without a key the request is refused before anything happens."""
        client = web.client()
        path, key = web.url + "/v1/subscriptions", f"Bearer {client.key}"
        answer = client._session.post(
            path, json={"customer": "c1", "plan": "p"}, headers={"Authorization": key}, timeout=9
        )
        assert answer.status_code == 422
        assert "Idempotency-Key" in answer.text

    def test_a_repeat_returns_the_same_object(self, engine: Engine, web: Web) -> None:
        """One subscription, one event."""
        client = _with_customer(web)
        wanted = {"customer": "c1", "plan": "p"}
        first = client.ok("POST", "/v1/subscriptions", wanted, key="k-1")
        again = client.ok("POST", "/v1/subscriptions", wanted, key="k-1")
        assert first["id"] == again["id"]
        assert engine.counts()["subscriptions"] == 1

    def test_another_body_is_refused(self, engine: Engine, web: Web) -> None:
        """The key belongs to the first body."""
        client = _with_customer(web)
        client.ok("POST", "/v1/subscriptions", {"customer": "c1", "plan": "p"}, key="k-1")
        wanted = {"customer": "c1", "plan": "p", "quantity": 2}
        said = client.refused("POST", "/v1/subscriptions", wanted, key="k-1")
        assert said["status"] == 422
        assert engine.counts()["subscriptions"] == 1

    def test_a_refusal_uses_up_no_key(self, web: Web) -> None:
        """The request may be repeated once the reason is gone."""
        client = web.client()
        client.ok("PUT", "/v1/customers/c1", CUSTOMER)
        wanted = {"customer": "c1", "plan": "p"}
        assert client.refused("POST", "/v1/subscriptions", wanted, key="k")["status"] == 404
        client.ok("PUT", "/v1/plans/p", {"amount": 1_000, "every": "1 month"})
        client.ok("POST", "/v1/subscriptions", wanted, key="k")

    def test_an_extra_line_is_added_once(self, engine: Engine, web: Web) -> None:
        """Also where the service itself knows no keys."""
        client = _with_customer(web)
        made = client.ok("POST", "/v1/subscriptions", {"customer": "c1", "plan": "p"})
        path, extra = f"/v1/subscriptions/{made['id']}/extras", {"title": "Towel", "amount": 500}
        for _ in range(2):
            found = client.ok("POST", path, extra, key="towel")
            assert len(found["extras"]) == 1

    def test_the_same_request_at_once_acts_once(self, engine: Engine, web: Web) -> None:
        """Ten at the same moment: one object, and answers that are it or `in_progress`."""
        client = _with_customer(web)
        wanted = {"customer": "c1", "plan": "p"}
        key = f"Bearer {client.key}"
        clients = [web.stranger() for _ in range(10)]

        def send(each: Client) -> int:
            answer = each.send("POST", "/v1/subscriptions", wanted, key="same", Authorization=key)
            return answer.status_code

        with ThreadPoolExecutor(10) as pool:
            statuses = list(pool.map(send, clients))
        assert set(statuses) <= {201, 409}
        assert 201 in statuses
        assert engine.counts()["subscriptions"] == 1

    def test_a_request_in_flight_is_said(self, engine: Engine, web: Web, hold: Hold) -> None:
        """A second request with the key of one that still runs gets 409 after a second."""
        client = _with_customer(web)
        wanted = {"customer": "c1", "plan": "p"}
        with engine.context.database.transaction() as connection:
            commands.begin(connection, "api:k", "subscriptions.create", wanted, engine.now)
            said = client.refused("POST", "/v1/subscriptions", wanted, key="k")
        assert (said["status"], said["type"]) == (409, "in_progress")


def test_a_key_that_calls_too_often_is_slowed_down(engine: Engine, web: Web) -> None:
    """429 with Retry-After; another key is not affected."""
    with serving(engine, web.redis_url, web_requests_per_second=3) as narrow:
        client, other = narrow.client("read"), narrow.client("read")
        answers = [client.send("GET", "/v1/me") for _ in range(20)]
        assert 429 in {answer.status_code for answer in answers}
        [limited, *_] = [answer for answer in answers if answer.status_code == 429]
        assert limited.headers["Retry-After"] == "1"
        assert other.send("GET", "/v1/me").status_code == 200


def test_without_redis_no_request_is_refused(engine: Engine) -> None:
    """A limit that fails must not stop a merchant's shop."""
    with serving(engine, "redis://127.0.0.1:1/0") as alone:
        assert alone.client("read").ok("GET", "/v1/me")
        assert alone.stranger().send("GET", "/ready").status_code == 503
        assert alone.stranger().ok("GET", "/health") == {"status": "ok"}


def test_a_body_that_never_ends_is_given_up(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that sends nothing more does not hold a connection for ever."""
    monkeypatch.setattr(reading, "BODY_SECONDS", 0.2)
    where = urlsplit(web.url)
    with socket.create_connection((where.hostname, where.port), timeout=10) as line:
        line.sendall(
            b"PUT /v1/customers/c1 HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n"
            b"Content-Type: application/json\r\n\r\n{"
        )
        assert line.recv(65_536).startswith(b"HTTP/1.1 408")


def test_the_document_is_openapi_and_complete(web: Web) -> None:
    """3.1, a summary and an id for each call, and the refusals of each."""
    document = web.stranger().ok("GET", "/v1/openapi.json")
    assert document["openapi"].startswith("3.1")
    calls = [call for methods in document["paths"].values() for call in methods.values()]
    assert len({call["operationId"] for call in calls}) == len(calls)
    for call in calls:
        assert call["description"]
        if call["operationId"] not in {"health", "ready"}:
            assert {"401", "403", "429"} <= call["responses"].keys()
    assert json.dumps(document)


def _with_customer(web: Web) -> Client:
    client = web.client()
    client.ok("PUT", "/v1/customers/c1", CUSTOMER)
    client.ok("PUT", "/v1/plans/p", {"amount": 1_000, "every": "1 month"})
    return client


def test_used_keys_are_kept_for_thirty_days(engine: Engine, web: Web) -> None:
    """Then they are removed, and those of commands are kept; a very late repeat acts once."""
    client = _with_customer(web)
    wanted = {"customer": "c1", "plan": "p"}
    made = client.ok("POST", "/v1/subscriptions", wanted, key="old")
    engine.execute(
        "INSERT INTO commands (key, task, arguments, created_at)"
        " VALUES ('of-a-command', 't', '{}', '2020-01-01T00:00:00Z')"
    )
    engine.set_clock(START + timedelta(days=29))
    assert used_keys.remove_old(engine.context) == 0
    engine.set_clock(START + timedelta(days=31))
    assert used_keys.remove_old(engine.context) == 1
    assert [row["key"] for row in engine.rows("SELECT key FROM commands")] == ["of-a-command"]

    again = client.ok("POST", "/v1/subscriptions", wanted, key="old")
    assert again["id"] == made["id"]
    assert engine.counts()["subscriptions"] == 1
