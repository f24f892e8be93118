"""The console's live parts as streams: what ends them, what they hold, how many there may be."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from threading import Event
from time import monotonic

import pytest
import requests

from billing.domain.events import OPERATOR
from billing.domain.people import IDLE_MAX, Role
from billing.services.operating import kill_switch, people
from billing.web.console import live, streams
from billing.web.console.live import Live
from billing.web.console.streams import ENDED, KIND, Shared, SharedBusy, Streams
from billing.web.console.visits import Visit
from tests.integration.console import Browser, browsing, person, text_of
from tests.integration.engine import Engine
from tests.integration.web import Web

NOW, ATTENTION = "/now?part=live", "/attention?part=counts"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send often, and read each time."""
    monkeypatch.setattr(streams, "EVERY_SECONDS", 0.05)
    monkeypatch.setattr(streams, "SHARED_SECONDS", 0.0)


@contextmanager
def streaming(browser: Browser, path: str = NOW) -> Iterator[tuple[requests.Response, "Events"]]:
    """A stream, and its events."""
    answer = browser.session.get(
        f"{browser.url}/console{path}", headers={"Accept": KIND}, stream=True, timeout=10,
        allow_redirects=False,
    )  # fmt: skip
    try:
        yield answer, Events(answer)
    finally:
        answer.close()


class Events:
    """The events of a stream, one after the other."""

    def __init__(self, answer: requests.Response) -> None:
        self._lines = answer.iter_lines(chunk_size=1, decode_unicode=True)

    def next(self) -> tuple[str, str] | None:
        """The next event: its name and its text; None at the end."""
        name, data = "", []
        for line in self._lines:
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                data.append(line.removeprefix("data: "))
            elif not line and name:
                return name, "\n".join(data)
        return None

    def until(self, words: str) -> str:
        """The first part that says something."""
        for _ in range(100):
            found = self.next()
            assert found is not None, "the stream has ended"
            if words in text_of(found[1]):
                return found[1]
        raise AssertionError(words)

    def last(self) -> tuple[str, str] | None:
        """The last event of a stream that ends."""
        last = None
        while (found := self.next()) is not None:
            last = found
        return last


def test_a_stream_sends_what_a_poll_would_read(engine: Engine, web: Web) -> None:
    """And what changes; with the headers that keep proxies from holding it back."""
    with browsing(web, person(engine)) as [browser], streaming(browser) as (answer, events):
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith(KIND)
        assert answer.headers["X-Accel-Buffering"] == "no"
        assert answer.headers["Cache-Control"] == "no-store, no-transform"
        assert "Content-Length" not in answer.headers
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        name, text = events.next() or ("", "")
        polled = browser.page(NOW)
        varying = r"As of [\d :-]+|\d+ (s|min) ago"
        assert name == "part"
        assert re.sub(varying, "", text_of(text)) == re.sub(varying, "", text_of(polled))
        kill_switch.stop_charging(engine.context, OPERATOR)
        assert 'data-stopped="1"' in events.until("Charging is stopped.")


def test_the_counts_of_attention_are_a_stream_too(engine: Engine, web: Web) -> None:
    """Every role sees them; a row that comes is counted."""
    with browsing(web, person(engine, Role.VIEWER)) as [browser]:
        with streaming(browser, ATTENTION) as (_answer, events):
            events.until("Nothing needs attention.")
            kill_switch.stop_charging(engine.context, OPERATOR)
            events.until("1 engine stopped")
        assert "1 engine stopped" in text_of(browser.page(ATTENTION))


def test_a_stream_never_shows_what_is_older_than_its_page(
    engine: Engine, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What viewers share may be two seconds old: the first event comes later than that."""
    monkeypatch.setattr(streams, "EVERY_SECONDS", 0.5)
    monkeypatch.setattr(streams, "SHARED_SECONDS", 0.2)
    with browsing(web, person(engine)) as [browser], streaming(browser) as (_answer, events):
        events.until("As of")
        kill_switch.stop_charging(engine.context, OPERATOR)
        with streaming(browser) as (_another, later):
            assert "Charging is stopped." in text_of((later.next() or ("", ""))[1])


def test_head_is_answered_at_once(engine: Engine, web: Web) -> None:
    """A stream has no end to wait for."""
    with browsing(web, person(engine)) as [browser]:
        answer = browser.session.head(
            f"{browser.url}/console{NOW}", headers={"Accept": KIND}, timeout=5
        )
        assert answer.status_code == 200
        assert answer.content == b""


def test_a_stream_needs_a_session(web: Web) -> None:
    """401 without one, for the script; and it is no way around the log-in."""
    with browsing(web, "") as [browser], streaming(browser) as (answer, _events):
        assert answer.status_code == 401


@pytest.mark.parametrize("how", ["log-out", "role", "disabled", "idle"])
def test_a_stream_ends_with_the_session(engine: Engine, web: Web, how: str) -> None:
    """Its last event says so; being watched is no use of the session."""
    name = person(engine)
    with browsing(web, name) as [browser], streaming(browser) as (_answer, events):
        assert events.next()
        if how == "log-out":
            browser.send("/logout", {})
        elif how == "role":
            people.set_role(engine.context, name, Role.VIEWER, OPERATOR)
        elif how == "disabled":
            people.disable(engine.context, name, OPERATOR)
        else:
            longest = IDLE_MAX + timedelta(seconds=1)
            engine.execute("UPDATE console_sessions SET used_at = now() - CAST(:at AS interval)",
                           at=f"{longest.total_seconds()} seconds")  # fmt: skip
        assert events.last() == ("ended", "")


def test_a_stream_ends_after_its_time(
    engine: Engine, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the word that the session has ended: the browser opens the next one."""
    monkeypatch.setattr(streams, "STREAM_SECONDS", 0.2)
    with browsing(web, person(engine)) as [browser], streaming(browser) as (_answer, events):
        last = events.last()
        assert last is not None
        assert last[0] == "part"


def test_an_idle_stream_holds_neither_a_connection_nor_a_thread(
    engine: Engine, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More streams than threads and connections wait, and a page opens at once."""
    monkeypatch.setattr(streams, "EVERY_SECONDS", 60.0)
    monkeypatch.setattr(streams, "PER_SESSION", 100)
    with browsing(web, person(engine)) as [browser]:
        opened = [streaming(browser) for _ in range(50)]
        assert {each.__enter__()[0].status_code for each in opened} == {200}
        busy = engine.one("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                          " AND state LIKE 'idle in transaction%'")  # fmt: skip
        assert busy == 0
        began = monotonic()
        assert browser.open("/now").status_code == 200
        assert monotonic() - began < 5
        for each in opened:
            each.__exit__(None, None, None)


def test_slow_readings_leave_threads_to_pages(
    engine: Engine, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More streams than threads read for seconds, and a page opens at once."""
    monkeypatch.setattr(streams, "PER_SESSION", 100)
    reading, done, read = Event(), Event(), live.read

    def slow(visit: Visit) -> Live:
        reading.set()
        assert done.wait(10)
        return read(visit)

    with browsing(web, person(engine)) as [browser], ExitStack() as stack:
        monkeypatch.setattr(live, "read", slow)
        stack.callback(done.set)
        for _ in range(50):
            stack.enter_context(streaming(browser))
        assert reading.wait(10)
        began = monotonic()
        assert browser.open("/login").status_code == 303
        assert monotonic() - began < 2


def test_there_are_not_more_streams_than_the_bound(
    engine: Engine, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A further one is told to poll; one that is closed leaves its place."""
    monkeypatch.setattr(streams, "PER_SESSION", 1)
    name = person(engine)
    with browsing(web, name, name) as [one, other]:
        with streaming(one) as (_answer, events):
            assert events.next()
            with streaming(one) as (second, _events):
                assert second.status_code == 503
                assert second.headers["Retry-After"] == "60"
            with streaming(other) as (another, _events):
                assert another.status_code == 200
                monkeypatch.setattr(streams, "STREAMS_MAX", 1)
                monkeypatch.setattr(streams, "PER_SESSION", 9)
                with streaming(other) as (third, _events):
                    assert third.status_code == 503
            assert one.open(NOW).status_code == 200

        def is_free() -> bool:
            with streaming(other) as (answer, _events):
                return answer.status_code == 200

        engine.until(is_free)


def test_a_database_that_fails_is_said_and_the_stream_stays(engine: Engine, web: Web) -> None:
    """The page says that its figures are old; afterwards they come again."""
    with browsing(web, person(engine)) as [browser], streaming(browser) as (_answer, events):
        assert events.next()
        engine.execute("ALTER TABLE heartbeats RENAME TO away")
        try:
            while (found := events.next()) and found[0] != "stale":
                pass
        finally:
            engine.execute("ALTER TABLE away RENAME TO heartbeats")
        assert found == ("stale", "")
        events.until("As of")


def test_a_server_that_stops_ends_its_streams(
    engine: Engine, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, and not after the time that requests are given."""
    monkeypatch.setattr(streams, "EVERY_SECONDS", 60.0)
    with browsing(web, person(engine)) as [browser], streaming(browser) as (answer, events):
        assert answer.status_code == 200
        began = monotonic()
        web.stop()
        assert events.next() is None
        assert monotonic() - began < 5


class TestParts:
    """Events, the register of streams, and what viewers share."""

    def test_no_text_makes_an_event_of_its_own(self) -> None:
        """Every kind of line break begins a line of data."""
        assert streams.event("part", "a\r\nevent: ended\rb\n\nc") == (
            b"event: part\ndata: a\ndata: event: ended\ndata: b\ndata: \ndata: c\n\n"
        )
        assert ENDED == b"event: ended\ndata: \n\n"

    def test_a_stopped_register_accepts_none(self) -> None:
        """Until it is started again."""
        known = Streams()
        first = known.begin("a")
        assert first is not None
        known.stop()
        assert first.is_set()
        assert known.begin("a") is None
        known.start()
        known.end(first)
        assert len(known) == 0
        assert known.begin("a") is not None

    def test_viewers_share_one_reading(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """For two seconds; then it is read again."""
        monkeypatch.setattr(streams, "SHARED_SECONDS", 2.0)
        now, read = [0.0], iter(range(9))
        shared: Shared[int] = Shared(lambda: now[0])
        found = [shared.get(lambda: next(read)) for _ in range(3)]
        now[0] = 2.0
        found.append(shared.get(lambda: next(read)))
        assert found == [0, 0, 0, 1]

    def test_no_viewer_gets_an_old_value_while_another_one_reads(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Both get what is read now; one that would wait too long is told so."""
        monkeypatch.setattr(streams, "SHARED_SECONDS", 2.0)
        now, reading, done = [0.0], Event(), Event()
        shared: Shared[str] = Shared(lambda: now[0])
        assert shared.get(lambda: "old") == "old"
        now[0] = 2.0

        def slow() -> str:
            reading.set()
            assert done.wait(10)
            return "new"

        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(shared.get, slow)
            assert reading.wait(10)
            with monkeypatch.context() as patch:
                patch.setattr(streams, "SHARED_WAIT_SECONDS", 0.01)
                with pytest.raises(SharedBusy):
                    shared.get(lambda: "mine")
            second = pool.submit(shared.get, lambda: "mine")
            done.set()
            assert (first.result(10), second.result(10)) == ("new", "new")

    def test_all_who_wait_share_a_slow_reading(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One that began after they had asked is new enough, also when it took long."""
        monkeypatch.setattr(streams, "SHARED_SECONDS", 2.0)
        now = [5.0]
        shared: Shared[str] = Shared(lambda: now[0])

        def slow() -> str:
            now[0] = 9.0
            return "shared"

        assert shared.get(slow) == "shared"
        assert shared.get(lambda: "mine", asked_at=4.0) == "shared"
        assert shared.get(lambda: "mine", asked_at=6.0) == "mine"

    def test_a_reading_that_fails_is_tried_again(self) -> None:
        """By the next viewer, who gets its error or its value."""
        shared: Shared[int] = Shared()
        with pytest.raises(ZeroDivisionError):
            shared.get(lambda: 1 // 0)
        assert shared.get(lambda: 7) == 7
