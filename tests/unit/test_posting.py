"""One webhook request: where it connects, what it sends, and what each answer means."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from billing.domain.addresses import Target, target
from billing.domain.webhooks import Answer
from billing.outbound import posting, resolving
from tests.unit.certificates import certificate_for
from tests.unit.gateway_peer import Line, Peer, Script

HEADERS = {"Content-Type": "application/json", "webhook-id": "msg_1"}
HERE = frozenset({"127.0.0.1", "hook.example"})
TOTALS = (0.3, 2, 15)
"""In seconds; on a machine that is busy the shorter ones may be over before an answer begins."""


def answering(data: bytes) -> Script:
    """A receiver that reads the request and sends these bytes."""

    def script(line: Line) -> None:
        line.read()
        line.write(data)

    return script


def post(url: str, seconds: float = 5, **options: object) -> Answer:
    """Send to an allowed host."""
    return posting.post(target(url, HERE), HEADERS, b"{}", total_seconds=seconds, **options)  # type: ignore[arg-type]


def status(code: int, more: bytes = b"") -> bytes:
    """An answer without a body."""
    return b"HTTP/1.1 %d X\r\n%sContent-Length: 0\r\n\r\n" % (code, more)


@pytest.mark.parametrize(
    ("code", "error"),
    [(200, None), (202, None), (204, None), (299, None), (300, "redirect_300"), (404, "http_404"),
     (410, "http_410"), (429, "http_429"), (500, "http_500"), (503, "http_503")],
)  # fmt: skip
def test_any_2xx_is_success_and_nothing_else_is(code: int, error: str | None) -> None:
    """The status decides."""
    with Peer(answering(status(code))) as peer:
        assert post(f"{peer.url}/h?x=1") == Answer(code, error)
        [request] = peer.requests

    assert (request.method, request.target, request.body) == ("POST", "/h?x=1", b"{}")
    assert request.headers["host"] == peer.url.removeprefix("http://")
    assert request.headers["webhook-id"] == "msg_1"
    assert request.headers["content-length"] == "2"


def test_a_redirect_is_not_followed() -> None:
    """A receiver cannot send the request to an address inside."""
    with Peer(answering(b"never")) as inside:
        there = b"Location: %s/\r\n" % inside.url.encode()
        for code in (301, 302, 303, 307, 308):
            with Peer(answering(status(code, there))) as peer:
                assert post(peer.url) == Answer(code, f"redirect_{code}")
        assert inside.connections == 0


def test_a_huge_body_is_read_in_part() -> None:
    """At most 64 KB are read; the status counts."""
    sent = []

    def script(line: Line) -> None:
        line.read()
        line.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        with suppress(OSError):
            for _ in range(1000):
                line.write(b"x" * 100_000)
                sent.append(1)

    with Peer(script) as peer:
        assert post(peer.url) == Answer(200, None)
    assert len(sent) < 200


def test_a_body_that_hangs_costs_the_total_time_at_most() -> None:
    """The receiver said 200 and then nothing: accepted, and the sender is free again in time.

    Where the total time was over before the answer began, a longer one is tried.
    """

    def script(line: Line) -> None:
        line.read()
        line.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx")
        peer.done.wait(30)

    with Peer(script) as peer:
        for seconds in TOTALS:
            began = time.monotonic()
            found = post(peer.url, seconds)
            took = time.monotonic() - began
            if found.status_code is not None:
                break

    assert found == Answer(200, None)
    assert took - seconds < 2.7


@pytest.mark.parametrize("drip", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_an_answer_that_comes_byte_by_byte_ends_at_the_total_time(drip: bytes) -> None:
    """Each byte would begin a plain time-out again."""

    def script(line: Line) -> None:
        line.read()
        line.write(drip)
        with suppress(OSError):
            while not peer.done.wait(0.02):
                line.write(drip or b"H")

    with Peer(script) as peer:
        began = time.monotonic()
        found = post(peer.url, 0.4)
        assert time.monotonic() - began < 3

    assert found.status_code is None
    assert found.error in {"timed_out", "no_http_answer"}


def test_a_receiver_that_says_nothing_times_out() -> None:
    """It accepts the connection, and hangs."""
    with Peer(lambda line: (line.read(), peer.done.wait(10))) as peer:
        assert post(peer.url, 0.3) == Answer(None, "timed_out")


@pytest.mark.parametrize("data", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_an_answer_that_is_no_http_fails(data: bytes) -> None:
    """One word, and no text of the receiver's."""
    with Peer(answering(data)) as peer:
        found = post(peer.url)

    assert found.status_code is None
    assert found.error in {"no_http_answer", "connection_lost"}


def test_a_closed_port_and_an_unknown_name_fail() -> None:
    """Nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert post(f"http://127.0.0.1:{port}/") == Answer(None, "not_connected")

    def nothing(host: str, port: int, seconds: float) -> list[str]:
        raise resolving.NotResolved

    assert post("http://hook.example/", resolve=nothing) == Answer(None, "name_not_resolved")


def test_a_name_that_resolves_differently_the_second_time_changes_nothing() -> None:
    """The connection goes to the address that was checked; the name is asked for once."""
    asked = []
    with Peer(answering(status(200))) as inside:
        port = int(inside.url.rpartition(":")[2])

        def rebinding(host: str, _port: int, seconds: float) -> list[str]:
            asked.append(host)
            return ["192.0.2.1"] if len(asked) == 1 else ["127.0.0.1"]

        name = Target("http", "rebind.example", port, "/", is_allowed=True)
        found = posting.post(name, HEADERS, b"{}", total_seconds=0.5, resolve=rebinding)
        assert inside.connections == 0

    assert found.status_code is None
    assert asked == ["rebind.example"]


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["10.0.0.1"], ["169.254.169.254"], ["::1"], ["::ffff:127.0.0.1"],
     ["64:ff9b::7f00:1"], ["8.8.8.8", "127.0.0.1"], ["fe80::1%lo"]],
)  # fmt: skip
def test_a_name_with_one_address_inside_is_refused(addresses: list[str]) -> None:
    """Before any connection; a second address that is public does not help."""
    with Peer(answering(status(200))) as inside:
        port = int(inside.url.rpartition(":")[2])
        name = target(f"https://shop.example:{port}/", frozenset())
        found = posting.post(name, HEADERS, b"{}", total_seconds=1, resolve=lambda *_: addresses)
        assert inside.connections == 0

    assert found == Answer(None, "address_refused")


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1"])
def test_a_number_that_a_resolver_takes_for_an_address_is_refused(host: str) -> None:
    """Should such a host ever pass the check of the URL, its address is checked as well."""
    try:
        addresses = resolving.resolve(host, 443, 5)
    except resolving.NotResolved:
        return
    name = Target("https", host, 443, "/", is_allowed=False)

    assert set(addresses) == {"127.0.0.1"}
    assert posting.post(name, HEADERS, b"{}") == Answer(None, "address_refused")


def test_a_second_address_is_used_when_the_first_refuses() -> None:
    """A host with several addresses is reached while one of them works."""
    with Peer(answering(status(200))) as peer:
        port = int(peer.url.rpartition(":")[2])
        name = Target("http", "hook.example", port, "/", is_allowed=True)
        found = posting.post(name, HEADERS, b"{}", resolve=lambda *_: ["127.0.0.2", "127.0.0.1"])
        assert peer.requests[0].headers["host"] == f"hook.example:{port}"

    assert found == Answer(200, None)


def test_name_servers_that_do_not_answer_end_at_the_time_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The C library waits longer than a webhook may take."""
    free = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: free.wait(10) and [])
    began = time.monotonic()
    with pytest.raises(resolving.NotResolved):
        resolving.resolve("slow.example", 443, 0.1)

    assert time.monotonic() - began < 3
    free.set()


@contextmanager
def tls_peer(certificate: Path) -> Iterator[int]:
    """A TLS server that answers 200; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                connection, _ = listener.accept()
                with context.wrap_socket(connection, server_side=True) as line:
                    received = b""
                    while not received.endswith(b"{}") and (more := line.recv(65536)):
                        received += more
                    line.sendall(status(200))

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("hook.example", Answer(200, None)),
        ("other.example", Answer(None, "tls_failed")),
    ],
)
def test_the_certificate_must_be_for_the_name_of_the_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, found: Answer
) -> None:
    """The connection goes to an address, and the name is still what TLS checks."""
    certificate = certificate_for(tmp_path / "peer.pem", "hook.example")
    trusting = ssl.create_default_context(cafile=certificate)
    monkeypatch.setattr(posting, "tls", lambda: trusting)
    with tls_peer(certificate) as port:
        name = Target("https", host, port, "/", is_allowed=True)
        assert posting.post(name, HEADERS, b"{}", resolve=lambda *_: ["127.0.0.1"]) == found


def test_an_unknown_authority_is_refused(tmp_path: Path) -> None:
    """A self-signed certificate is refused."""
    certificate = certificate_for(tmp_path / "peer.pem", "hook.example")
    with tls_peer(certificate) as port:
        name = Target("https", "hook.example", port, "/", is_allowed=True)
        found = posting.post(name, HEADERS, b"{}", resolve=lambda *_: ["127.0.0.1"])

    assert found == Answer(None, "tls_failed")


def test_a_handshake_that_hangs_times_out() -> None:
    """TLS counts towards the total time, too."""
    with Peer(lambda _line: peer.done.wait(10)) as peer:
        port = int(peer.url.rpartition(":")[2])
        name = Target("https", "hook.example", port, "/", is_allowed=True)
        found = posting.post(
            name, HEADERS, b"{}", total_seconds=0.3, resolve=lambda *_: ["127.0.0.1"]
        )

    assert found == Answer(None, "timed_out")
