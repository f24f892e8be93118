"""Connections that are kept for the next webhook: when they are used again, and when not."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from threading import Event, Semaphore

import pytest

from billing.domain.addresses import Target, target
from billing.domain.webhooks import Answer
from billing.outbound import posting
from tests.unit.gateway_peer import Line, Peer, Script

HEADERS = {"Content-Type": "application/json", "webhook-id": "msg_1"}
HERE = frozenset({"127.0.0.1"})


def status(code: int, more: bytes = b"") -> bytes:
    """An answer without a body."""
    return b"HTTP/1.1 %d X\r\n%sContent-Length: 0\r\n\r\n" % (code, more)


def serving(*answers: bytes) -> Script:
    """A receiver that answers one request after the other on a connection, then closes it."""

    def script(line: Line) -> None:
        for answer in answers:
            if line.read() is not None:
                line.write(answer)

    return script


@contextmanager
def keeping(peer: Peer, **options: object) -> Iterator[posting.Poster]:
    """A poster that keeps its connection to a peer."""
    with closing(posting.Poster(target(peer.url, HERE), **options)) as poster:  # type: ignore[arg-type]
        yield poster


def posted(poster: posting.Poster, times: int, seconds: float = 5) -> list[Answer]:
    """Send some requests, one after the other."""
    found = []
    for _ in range(times):
        found.append(poster.post(HEADERS, b"{}", total_seconds=seconds))
        Event().wait(0.05)  # so that what the receiver sends behind its answer has arrived
    return found


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [status(200), b"HTTP/1.1 204 No Content\r\n\r\n", CHUNKED, status(500),
     b"HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n" + b"x" * 65536,
     b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx"],
)  # fmt: skip
def test_a_connection_is_used_again_after_a_complete_answer(answer: bytes) -> None:
    """The name is resolved and the address is checked once for the connection."""
    asked = []

    def once(host: str, port: int, seconds: float) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    with Peer(serving(*[answer] * 3)) as peer, keeping(peer, resolve=once) as poster:
        found = posted(poster, 3)
        assert (peer.connections, len(peer.requests)) == (1, 3)
        assert all("connection" not in request.headers for request in peer.requests)

    assert len({each.status_code for each in found}) == 1
    assert found[0].status_code in {200, 204, 500}
    assert asked == ["127.0.0.1"]


@pytest.mark.parametrize(
    "answer",
    [status(200, b"Connection: close\r\n"), b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
     b"HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n" + b"x" * 65537,
     b"HTTP/1.1 200 OK\r\n\r\n",
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n"],
)  # fmt: skip
def test_a_connection_whose_answer_ends_it_is_not_used_again(answer: bytes) -> None:
    """Closed by the receiver, of HTTP/1.0, too long, without an end, or broken in its body."""

    def script(line: Line) -> None:
        while line.read() is not None:
            with suppress(OSError):
                line.write(answer)
            if b"close" in answer or b"/1.0" in answer:
                return

    with Peer(script) as peer, keeping(peer) as poster:
        assert posted(poster, 2, 3) == [Answer(200, None)] * 2
        assert (peer.connections, len(peer.requests)) == (2, 2)


@pytest.mark.parametrize(
    "surplus", [b"x", status(500), b"HTTP/1.1 500 X\r\nContent-Length: 9000\r\n\r\n" + b"x" * 9000]
)
@pytest.mark.parametrize("answer", [status(200), CHUNKED])
@pytest.mark.parametrize("pause", [0, 0.02])
def test_bytes_behind_an_answer_are_never_taken_for_the_next_answer(
    answer: bytes, surplus: bytes, pause: float
) -> None:
    """In the same packet or in a later one: the next request has a connection of its own."""
    written = Semaphore(0)

    def script(line: Line) -> None:
        while line.read() is not None:
            with suppress(OSError):
                if pause:
                    line.write(answer)
                    peer.done.wait(pause)
                    line.write(surplus)
                else:
                    line.write(answer + surplus)
            written.release()

    with Peer(script) as peer, keeping(peer) as poster:
        for _ in range(3):
            assert posted(poster, 1) == [Answer(200, None)]
            assert written.acquire(timeout=5)
        assert peer.connections == 3


def test_a_connection_with_an_early_hint_is_not_used_again() -> None:
    """After a status below 200 another answer follows, which is not that of the next request."""
    hint = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    with Peer(serving(hint, status(200))) as peer, keeping(peer) as poster:
        assert posted(poster, 2) == [Answer(103, "http_103")] * 2
        assert peer.connections == 2


def test_a_connection_that_was_closed_while_idle_is_opened_again() -> None:
    """The receiver gets each request once."""
    with Peer(serving(status(200))) as peer, keeping(peer) as poster:
        assert posted(poster, 3) == [Answer(200, None)] * 3
        assert (peer.connections, len(peer.requests)) == (3, 3)


def test_a_kept_connection_that_ends_before_an_answer_is_tried_once_more() -> None:
    """The receiver may close it in the moment of the request; a new one is not tried again."""

    def script(line: Line) -> None:
        line.read()
        if peer.connections != 2:
            line.write(status(200))
            line.read()

    with Peer(script) as peer, keeping(peer) as poster:
        first, second, third = posted(poster, 3)
        assert len(peer.requests) == 4

    assert first == third == Answer(200, None)
    assert second.error in {"connection_lost", "no_http_answer"}


def test_a_kept_connection_that_ends_within_an_answer_is_not_tried_again() -> None:
    """The receiver has read the request, and its answer began."""

    def script(line: Line) -> None:
        line.read()
        line.write(status(200))
        line.read()
        line.write(b"HTTP/1.1 2")

    with Peer(script) as peer, keeping(peer) as poster:
        first, second = posted(poster, 2)
        assert len(peer.requests) == 2

    assert first == Answer(200, None)
    assert second.status_code is None


def each_with_its_own_time(pause: float) -> list[Answer] | None:
    """Send four requests whose answers take longer together than one may, and one that drips.

    The four answers; None when the machine was too busy for one of them.
    """

    def script(line: Line) -> None:
        for _ in range(4):
            line.read()
            peer.done.wait(pause)
            line.write(status(200))
        line.read()
        with suppress(OSError):
            while not peer.done.wait(0.02):
                line.write(b"H")

    with Peer(script) as peer, keeping(peer) as poster:
        found = posted(poster, 4, 3 * pause)
        if found != [Answer(200, None)] * 4:
            return None
        began = time.monotonic()
        late = poster.post(HEADERS, b"{}", total_seconds=0.3)
        assert time.monotonic() - began < 3
        assert peer.connections == 1
    assert late.status_code is None
    return found


def test_each_request_on_a_kept_connection_has_the_total_time() -> None:
    """The deadline of an earlier request ends no later one, and a late one is not sent again."""
    assert any(each_with_its_own_time(pause) for pause in (0.2, 1, 4))


def test_a_connection_is_kept_for_a_short_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the name is resolved and its address checked again."""
    monkeypatch.setattr(posting, "KEPT_SECONDS", 0)
    found = iter([["127.0.0.1"], ["10.0.0.1"]])
    with Peer(serving(status(200), status(200))) as peer:
        port = int(peer.url.rpartition(":")[2])
        name = Target("http", "hook.example", port, "/", is_allowed=False)
        monkeypatch.setattr(posting, "is_public", lambda address: address == "127.0.0.1")
        with closing(posting.Poster(name, resolve=lambda *_: next(found))) as poster:
            assert posted(poster, 2) == [Answer(200, None), Answer(None, "address_refused")]
        assert peer.connections == 1
