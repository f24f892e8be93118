"""A notification's signature and body: what is accepted and what is refused, never an exception."""

import base64
import hashlib
import hmac
from uuid import UUID

import pytest

from billing.domain.notifications import Notification, Said
from billing.gateway.notifications import BODY_MAX, OTHER_NEWS, OtherNews, Refusal, judge

CLIENT_ID = "MCH-0001-10791114622547"
REQUEST_ID = "15022aab-444f-4b04-afa8-ddfce89432ec"
STAMP = "2020-08-11T08:45:42Z"
SECRET = "unit-test-secret-key"
TARGET = "/payments/notifications"
V4_BODY = (
    b'{"order":{"invoice_number":"INVR_2021_7105","amount":100000.00},"transaction":'
    b'{"status":"SUCCESS","date":"2020-08-11T08:45:40Z",'
    b'"original_request_id":"15022aab-444f-4b04-afa8-ddfce89432ec"}}'
)
V4_SIGNATURE = "HMACSHA256=9gGL0U6m9VB9znwNm28IdM99xmtZo/dd5BMOP8bpeDk="
V4_HEADERS = {
    "Client-Id": CLIENT_ID,
    "Request-Id": REQUEST_ID,
    "Request-Timestamp": STAMP,
    "Signature": V4_SIGNATURE,
}
V4 = Notification(Said.SUCCEEDED, UUID(REQUEST_ID), "INVR_2021_7105", 100_000)

Judged = Notification | OtherNews | Refusal


def judged(body: bytes, headers: dict[str, str], target: str = TARGET) -> Judged:
    """The judgment of one message."""
    return judge(headers.items(), body, client_id=CLIENT_ID, secret=SECRET.encode(), target=target)


def read(body: bytes) -> Judged:
    """The judgment of a body that is signed well, by an arithmetic of the test's own."""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    lines = [
        f"Client-Id:{CLIENT_ID}", f"Request-Id:{REQUEST_ID}", f"Request-Timestamp:{STAMP}",
        f"Request-Target:{TARGET}", f"Digest:{digest}",
    ]  # fmt: skip
    mac = hmac.new(SECRET.encode(), "\n".join(lines).encode(), hashlib.sha256).digest()
    signature = "HMACSHA256=" + base64.b64encode(mac).decode()
    return judged(body, V4_HEADERS | {"Signature": signature})


def test_the_published_vector_is_read() -> None:
    """V4: the signature is right, and its decimal amount is whole rupiah."""
    assert len(V4_BODY) == 190
    assert judged(V4_BODY, V4_HEADERS) == V4


@pytest.mark.parametrize("change", [str.lower, str.upper, str.title, str.swapcase])
def test_header_names_come_in_any_case(change: type[str]) -> None:
    """Servers and proxies change the case of names, never of values."""
    headers = {change(name): value for name, value in V4_HEADERS.items()}

    assert judged(V4_BODY, headers) == V4


def test_other_headers_are_ignored_and_blanks_around_values_too() -> None:
    """A proxy adds headers; HTTP permits blanks around a value."""
    headers = {"X-Forwarded-For": "203.0.113.7", "Digest": "x", "Request-Target": "/else"}

    assert judged(V4_BODY, headers | {n: f" {v}\t" for n, v in V4_HEADERS.items()}) == V4


@pytest.mark.parametrize("name", V4_HEADERS)
@pytest.mark.parametrize(
    "value", [None, "", "x", "MCH-0001-10791114622548", "é", "a\nb", "a b", "x" * 600, "\0"]
)
def test_a_missing_or_changed_header_is_refused(name: str, value: str | None) -> None:
    """Each header is signed, so that none can be left out, replaced or filled with rubbish."""
    headers = {n: v for n, v in V4_HEADERS.items() if n != name}
    if value is not None:
        headers[name] = value

    assert judged(V4_BODY, headers) is Refusal.NOT_SIGNED


def test_a_header_that_occurs_twice_is_refused() -> None:
    """Two programs could read two different ones."""
    headers = [*V4_HEADERS.items(), ("client-id", CLIENT_ID)]

    refused = judge(headers, V4_BODY, client_id=CLIENT_ID, secret=SECRET.encode(), target=TARGET)
    assert refused is Refusal.NOT_SIGNED


@pytest.mark.parametrize("target", ["/", "/payments/notifications/", "/doku/notifications"])
def test_a_message_to_another_path_is_refused(target: str) -> None:
    """A message that was signed for another program of the merchant is not for us."""
    assert judged(V4_BODY, V4_HEADERS, target) is Refusal.NOT_SIGNED


@pytest.mark.parametrize("body", [b"", V4_BODY + b"\n", V4_BODY.replace(b"SUCCESS", b"FAILED!")])
def test_a_changed_body_is_refused_before_it_is_read(body: bytes) -> None:
    """One byte more is another message."""
    assert judged(body, V4_HEADERS) is Refusal.NOT_SIGNED


def test_without_a_secret_nothing_is_accepted() -> None:
    """An engine without keys must not accept what anyone can sign with an empty key."""
    digest = base64.b64encode(hashlib.sha256(V4_BODY).digest()).decode()
    lines = f"Client-Id:\nRequest-Id:a\nRequest-Timestamp:a\nRequest-Target:{TARGET}"
    mac = hmac.new(b"", f"{lines}\nDigest:{digest}".encode(), hashlib.sha256).digest()
    signature = "HMACSHA256=" + base64.b64encode(mac).decode()
    headers = {"Client-Id": "", "Request-Id": "a", "Request-Timestamp": "a",
               "Signature": signature}  # fmt: skip

    for client_id in ("", CLIENT_ID):
        refused = judge(headers.items(), V4_BODY, client_id=client_id, secret=b"", target=TARGET)
        assert refused is Refusal.NOT_SIGNED


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ((b'{"order":{"invoice_number":" N-1  ","amount":"6000.00"},"service":{"id":"EMONEY"},'
         b'"transaction":{"status":"failed "},"terminal_id":"A01   ","new":{"field":[1,null]}}'),
         Notification(Said.FAILED, None, "N-1", 6000)),
        ((b'{\n    "transaction": {\n        "status": "SUCCESS"\n    },\n'
         b'    "order": {\n        "invoice_number": "N-1"\n    }\n}\n'),
         Notification(Said.SUCCEEDED, None, "N-1", None)),
        (b'{"order":{"invoice_number":"N-1"},"transaction":{"status":"EXPIRED"}}',
         Notification(Said.FAILED, None, "N-1")),
        (b'{"order":{"invoice_number":"N-1"},"transaction":{"status":"TIMEOUT"}}',
         Notification(Said.OTHER, None, "N-1")),
        (b'{"order":{"invoice_number":"N-1"},"transaction":{"date":"2026"}}',
         Notification(Said.OTHER, None, "N-1")),
        ((b'{"order":{"invoice_number":"no number, 081234567890"},'
         b'"transaction":{"status":"SUCCESS","original_request_id":"082014"}}'),
         Notification(Said.SUCCEEDED)),
        (b'{"order":{"invoice_number":"a\\u0000b"},"transaction":{"status":"SUCCESS"}}',
         Notification(Said.SUCCEEDED)),
        (b'{"order":{"invoice_number":"\\ud800bc"},"transaction":{"status":"\\ud800"}}',
         Notification(Said.OTHER)),
    ],
)  # fmt: skip
def test_a_body_is_read_tolerantly(body: bytes, found: Notification) -> None:
    """Decimals, texts, blanks, new fields and pretty printing occur; odd names name nothing."""
    assert read(body) == found


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"order":{"invoice_number":"N-1"}}',
        b'{"order":{"invoice_number":"N-1"},"transaction":{"status":"REFUNDED"}}',
        b'{"order":{"invoice_number":"N-1"},"transaction":{"status":"SUCCESS","type":"REFUND"}}',
        b'{"order":{"invoice_number":"N-1"},"transaction":{"status":"VOIDED","type":"VOID"}}',
        (
            b'{"order":{"invoice_number":"N-1"},"transaction":{"status":"SUCCESS"},'
            b'"refund":{"amount":1}}'
        ),
        b'{"order":{"invoice_number":"N-1"},"transaction":{"status":"PENDING"}}',
        b'{"ovo_account":{"token_id":"x"}}',
    ],
)
def test_other_news_is_ignored(body: bytes) -> None:
    """Refunds and links are asked about in their own way."""
    assert read(body) is OTHER_NEWS


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0",
        b"null",
        b"[]",
        b'"SUCCESS"',
        b'[{"order":{}}]',
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b'{"order":{"invoice_number":"N\0"}}',
        b'{"order":[],"transaction":{}}',
        b'{"order":{},"transaction":"SUCCESS"}',
        b'{"order":null,"transaction":{"status":"SUCCESS"}}',
        b'{"order":{"amount":NaN},"transaction":{"status":"SUCCESS"}}',
        b'{"order":{"amount":Infinity},"transaction":{"status":"SUCCESS"}}',
        b'{"order":{"amount":1e400},"transaction":{"status":"SUCCESS"}}',
        b'{"order":{"amount":1e999999999999999999999},"transaction":{"status":"SUCCESS"}}',
        b'{"order":{"amount":-1},"transaction":{"status":"SUCCESS"}}',
        b'{"order":{"amount":{}},"transaction":{"status":"SUCCESS"}}',
        b'{"order":{"amount":true},"transaction":{"status":"SUCCESS"}}',
        b'{"order":{"amount":' + b"9" * 60_000 + b'},"transaction":{"status":"SUCCESS"}}',
        b'{"order":{"invoice_number":"N-1","invoice_number":"N-2"},"transaction":{}}',
        b'{"transaction":{"status":"FAILED"},"transaction":{"status":"SUCCESS"}}',
        b"[" * BODY_MAX,
        b'{"order":' * 7_000,
        b'{"order":{"invoice_number":"N-1"',
    ],
    ids=lambda body: repr(body[:40]),
)
def test_a_hostile_body_is_unreadable(body: bytes) -> None:
    """Even a signed one; two readers must not find two meanings, and none is an exception."""
    assert read(body) is Refusal.UNREADABLE
