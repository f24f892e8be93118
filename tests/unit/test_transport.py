"""Whether a request can have been sent, tested with servers that misbehave on purpose."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from billing.domain.errors import NotConfigured
from billing.gateway.transport import Answered, Delivery, NoAnswer, NotSent, Transport
from tests.unit.gateway_peer import NOW, Line, Peer, reply, unused_port

BODY = b'{"order":{"amount":100000}}'


@contextmanager
def transport(url: str, *, proxy: str = "", ca_file: str = "") -> Iterator[Transport]:
    """Make a transport, and leave no socket open."""
    with closing(Transport(url, proxy=proxy, ca_file=ca_file)) as made:
        yield made


def post(made: Transport, timeout_seconds: float = 5) -> Delivery:
    """Send one small POST."""
    return made.send(
        "pay",
        "POST",
        "/pay",
        headers={"Request-Id": "r1", "Content-Type": "application/json"},
        body=BODY,
        timeout_seconds=timeout_seconds,
    )


def answering(data: bytes) -> Peer:
    """Make a peer that answers every request on a connection with `data`."""

    def script(line: Line) -> None:
        while line.read() is not None:
            line.write(data)

    return Peer(script)


def test_answer_comes_back_as_it_travelled() -> None:
    """Status, headers in any case, and the raw bytes; the request arrives as it was given."""
    with (
        answering(reply(b'{"a":1}', 201, Retry_After="3")) as peer,
        transport(peer.url) as made,
    ):
        answer = post(made)

    assert isinstance(answer, Answered)
    assert (answer.status, answer.body) == (201, b'{"a":1}')
    assert answer.headers["retry-after"] == "3"
    assert [(r.method, r.target, r.body) for r in peer.requests] == [("POST", "/pay", BODY)]
    assert peer.requests[0].headers["content-length"] == str(len(BODY))
    assert "transfer-encoding" not in peer.requests[0].headers


def test_connection_is_kept_for_the_next_request() -> None:
    """One thread uses one connection as long as the peer keeps it."""
    with answering(reply(b"{}")) as peer, transport(peer.url) as made:
        assert all(isinstance(post(made), Answered) for _ in range(5))

    assert len(peer.requests) == 5
    assert peer.connections == 1


def test_empty_answer_is_an_answer() -> None:
    """A 204 has no body, and does not cost the connection."""
    with answering(b"HTTP/1.1 204 No Content\r\n\r\n") as peer, transport(peer.url) as made:
        answers = [post(made), post(made)]

    assert [isinstance(a, Answered) and (a.status, a.body) for a in answers] == [(204, b"")] * 2
    assert peer.connections == 1


def test_refused_connection_is_not_sent() -> None:
    """The port is closed, so nothing was written."""
    with transport(f"http://127.0.0.1:{unused_port()}") as made:
        assert post(made) == NotSent("not_connected")


def test_connection_that_does_not_stand_in_time_is_not_sent() -> None:
    """A full backlog leaves the handshake unanswered; connecting has its own time limit."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        with transport(f"http://127.0.0.1:{address[1]}") as made:
            delivery = post(made, timeout_seconds=0.3)
        for filler in fillers:
            filler.close()

    assert delivery == NotSent("connect_timeout")


def test_peer_without_tls_is_not_sent() -> None:
    """The TLS handshake fails before a byte of ours is written."""

    def script(line: Line) -> None:
        line.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with Peer(script) as peer, transport(peer.url.replace("http", "https")) as made:
        assert post(made) == NotSent("tls_failed")


def test_peer_that_hangs_up_during_the_handshake_is_not_sent() -> None:
    """A reset looks the same before and after the handshake; the body tells them apart."""
    with Peer(Line.close) as peer, transport(peer.url.replace("http", "https")) as made:
        assert isinstance(post(made), NotSent)


def test_peer_that_stalls_the_handshake_is_not_sent() -> None:
    """The library calls it a read time-out, but nothing was written."""
    with Peer(lambda _: peer.done.wait(10)) as peer:
        with transport(peer.url.replace("http", "https")) as made:
            assert post(made, timeout_seconds=0.3) == NotSent("connect_timeout")
        peer.done.set()


def test_untrusted_certificate_is_not_sent(certificate: Path) -> None:
    """Nothing is sent to a host that cannot prove its name."""
    with tls_peer(certificate, b"") as url, transport(url) as made:
        assert post(made) == NotSent("tls_failed")


def test_tls_answer_is_read_with_the_given_authority(certificate: Path) -> None:
    """A CA file is given explicitly; the environment's is not read."""
    data = reply(b"{}")
    with tls_peer(certificate, data) as url, transport(url, ca_file=str(certificate)) as made:
        assert isinstance(post(made), Answered)


def test_tls_broken_after_the_request_is_no_answer(certificate: Path) -> None:
    """The library raises its TLS error again, but now the request may have arrived."""
    with tls_peer(certificate, b"") as url, transport(url, ca_file=str(certificate)) as made:
        assert post(made) == NoAnswer("connection_lost")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{",
        b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n{",
        b"220 mail.example.com ESMTP\r\n",
    ],
)
def test_peer_that_hangs_up_after_reading_is_no_answer(data: bytes) -> None:
    """No answer, half of one, or an invalid one: the payment may have happened."""

    def script(line: Line) -> None:
        line.read()
        line.write(data)

    with Peer(script) as peer, transport(peer.url) as made:
        assert post(made) == NoAnswer("connection_lost")
    assert len(peer.requests) == 1


def test_peer_that_hangs_up_without_reading_is_never_repeated() -> None:
    """With every failure there is one connection and one sending."""
    with Peer(Line.close) as peer, transport(peer.url) as made:
        assert isinstance(post(made), NoAnswer)
    assert peer.connections == 1


def test_slow_peer_is_no_answer() -> None:
    """A read time-out leaves the outcome open."""

    def script(line: Line) -> None:
        line.read()
        peer.done.wait(10)

    with Peer(script) as peer:
        with transport(peer.url) as made:
            assert post(made, timeout_seconds=0.2) == NoAnswer("read_timeout")
        peer.done.set()


def test_dripping_answer_ends_in_time() -> None:
    """A slow peer that sends single bytes blocks a worker for a bounded time only."""

    def script(line: Line) -> None:
        line.read()
        line.write(b"HTTP/1.1 201 Created\r\nContent-Length: 1000\r\n\r\n")
        while not peer.done.wait(0.05):
            line.write(b" ")

    with Peer(script) as peer, transport(peer.url) as made:
        # A peer on a busy machine may pause for longer than the shortest of these.
        found = (post(made, timeout_seconds=seconds) for seconds in (0.2, 1, 5))
        assert NoAnswer("answer_too_slow") in found


def test_huge_answer_is_not_read_to_its_end() -> None:
    """Two megabytes are no answer, with or without a length in front."""
    for head in (b"Content-Length: 2097152", b"Connection: close"):
        data = b"HTTP/1.1 201 Created\r\n" + head + b"\r\n\r\n" + b" " * (2 << 20)
        with answering(data) as peer, transport(peer.url) as made:
            assert post(made) == NoAnswer("answer_too_large")


def test_kept_connection_that_the_peer_closed_is_replaced() -> None:
    """A connection known to be dead is noticed before anything is written."""
    closed = threading.Event()

    def script(line: Line) -> None:
        line.read()
        line.write(reply(b"{}"))
        line.close()
        closed.set()

    with Peer(script) as peer, transport(peer.url) as made:
        first = post(made)
        assert closed.wait(10)
        second = post(made)

    assert isinstance(first, Answered)
    assert isinstance(second, Answered)
    assert peer.connections == 2


def test_kept_connection_that_dies_under_the_request_is_no_answer() -> None:
    """The library raises the error of a refusal, but the body was written: not "not sent"."""

    def script(line: Line) -> None:
        line.read()
        line.write(reply(b"{}"))
        line.read()

    with Peer(script) as peer, transport(peer.url) as made:
        assert isinstance(post(made), Answered)
        assert post(made) == NoAnswer("connection_lost")

    assert peer.connections == 1
    assert len(peer.requests) == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_answered_and_not_followed(status: int) -> None:
    """A signed body goes to the host it was signed for, and nowhere else."""
    data = reply(b"", status, Location="/elsewhere")
    with answering(data) as peer, transport(peer.url) as made:
        answer = post(made)

    assert isinstance(answer, Answered)
    assert answer.status == status
    assert len(peer.requests) == 1


def test_redirect_to_nonsense_does_no_harm() -> None:
    """The location is not read."""
    with answering(reply(b"", 302, Location="http://[")) as peer, transport(peer.url) as made:
        assert isinstance(post(made), Answered)


def test_refusing_proxy_is_not_sent() -> None:
    """The tunnel was asked for, the payment never left."""
    with (
        answering(b"HTTP/1.1 403 Forbidden\r\n\r\n") as proxy,
        transport("https://api.invalid", proxy=proxy.url) as made,
    ):
        assert isinstance(post(made), NotSent)
    assert proxy.requests[0].method == "CONNECT"
    assert proxy.requests[0].body == b""


def test_environment_cannot_redirect_the_traffic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies come from our settings alone."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{unused_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{unused_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    with answering(reply(b"{}")) as peer, transport(peer.url) as made:
        assert isinstance(post(made), Answered)


def test_each_thread_has_its_own_connection() -> None:
    """An adapter is never shared, so no two requests mix on one socket."""
    with answering(reply(b"{}")) as peer, transport(peer.url) as made:
        adapters = [made._adapter()]

        def run() -> None:
            with closing(made):
                post(made)
                adapters.append(made._adapter())

        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)

    assert peer.connections == 3
    assert len({id(adapter) for adapter in adapters}) == 4


def test_adapter_from_before_a_fork_is_not_used_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parent and child would read each other's answers."""
    with transport("http://127.0.0.1:1") as made:
        before = made._adapter()
        assert made._adapter() is before
        monkeypatch.setattr("os.getpid", lambda: -1)

        assert made._adapter() is not before


@pytest.mark.parametrize(
    "url",
    [
        "http://api.doku.com",
        "https://api.doku.com/path",
        "https://api.doku.com?x=1",
        "https://user:secret@api.doku.com",
        "api.doku.com",
        "",
    ],
)
def test_base_url_must_be_private_and_bare(url: str) -> None:
    """Plain http never leaves this machine; a path would not be in the signature."""
    with pytest.raises(NotConfigured) as refused:
        Transport(url)

    assert "secret" not in str(refused.value)


@pytest.fixture(name="certificate", scope="module")
def _certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a self-signed certificate for 127.0.0.1, with its key in the same file."""
    from ipaddress import ip_address

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "peer")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=36500))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "peer.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@contextmanager
def tls_peer(certificate: Path, data: bytes) -> Iterator[str]:
    """Serve one TLS connection: read the request, answer with `data`, hang up without a goodbye."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def serve() -> None:
        raw, _ = listener.accept()
        with raw:
            try:
                with context.wrap_socket(raw, server_side=True) as connection:
                    received = b""
                    while BODY not in received and (chunk := connection.recv(65536)):
                        received += chunk
                    connection.sendall(data)
            except OSError:
                pass  # the client did not like our certificate

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            thread.join(10)
        assert not thread.is_alive()
