"""`billing serve` in several processes: real ones, which are killed, stopped and started.

What all have in common is the address; everything else is made in each.
"""

import http.client
import json
import os
import signal
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import psutil
import psycopg
import pytest
from cryptography.fernet import Fernet

from billing import bootstrap
from billing.config import Settings
from billing.domain.events import OPERATOR
from billing.local import programs
from billing.local.environment import overlay
from billing.local.processes import Child, Crew, running
from billing.local.servers import free_port, port_is_free
from billing.services.operating import api_keys
from billing.services.subscriptions import subscribing
from tests.waits import wait_until

WHO = "shop-1"
PATH = f"/v1/customers/{WHO}/credits"
START_FAILED = 3


@dataclass
class Place:
    """A database with a customer, and programs that serve it."""

    environment: Mapping[str, str]
    folder: Path
    url: str
    key: str
    crew: Crew

    def start(self, port: int, **settings: str) -> Child:
        """Start the parent, in two processes unless a setting says another number."""
        environment = {**self.environment, "BILLING_WEB_PROCESSES": "2", **settings}
        program = programs.web(port, self.folder / "web.log", environment).program
        return self.crew.start(program)

    def serve(self, port: int) -> Child:
        """Start two processes, and return when both serve."""
        child = self.start(port)
        wait_until(lambda: bool(self.said("web.processes_started")), "both serve", state=self.log)
        return child

    def log(self) -> str:
        """Everything that was logged."""
        return (self.folder / "web.log").read_text()

    def said(self, event: str) -> list[dict[str, object]]:
        """The lines of one event."""
        found = [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]
        return [line for line in found if line["event"] == event]

    def headers(self, key: str) -> dict[str, str]:
        """What each POST is sent with."""
        return {"Authorization": f"Bearer {self.key}", "Idempotency-Key": key,
                "Content-Type": "application/json"}  # fmt: skip

    def credits(self) -> list[int]:
        """The amounts that were given, which the clients number."""
        with psycopg.connect(self.url) as connection:
            return sorted(row[0] for row in connection.execute("SELECT amount FROM credits"))


@pytest.fixture
def place(database_url: str, redis_url: str, state_folder: Path) -> Iterator[Place]:
    """A migrated database with a customer and a key."""
    environment = {
        "BILLING_DATABASE_URL": database_url, "BILLING_REDIS_URL": redis_url,
        "BILLING_DOKU_CLIENT_ID": "MCH-1", "BILLING_DOKU_SECRET_KEY": "secret",
        "BILLING_TOKEN_KEY": Fernet.generate_key().decode(), "BILLING_LOG_FORMAT": "json",
        "BILLING_WEB_REQUESTS_PER_SECOND": "0",
    }  # fmt: skip
    context = bootstrap.build(overlay(Settings(), environment))
    subscribing.create_customer(context, WHO, name="A shop", by=OPERATOR)
    key = api_keys.create(context, "shop", ["admin"], OPERATOR).key
    context.database.dispose()
    crew = Crew()
    whole = {"PATH": os.environ["PATH"], **environment}
    url = database_url.replace("+psycopg", "")
    try:
        yield Place(whole, state_folder, url, key, crew)
    finally:
        crew.close()


def children_of(parent: Child) -> list[psutil.Process]:
    """The processes that serve."""
    below = psutil.Process(parent.pid).children()
    return [each for each in below if running(each) and "--multiprocessing-fork" in each.cmdline()]


def connected(port: int, parent: Child) -> set[int]:
    """The processes that hold a connection of a client now."""
    return {
        child.pid
        for child in children_of(parent)
        for each in child.net_connections()
        if each.laddr.port == port and each.status == psutil.CONN_ESTABLISHED
    }


def is_refused(port: int) -> bool:
    """Whether nobody listens."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


class Client:
    """Gives credits, each of another amount and with a key, until it is told to stop."""

    def __init__(self, place: Place, port: int, first: int) -> None:
        self.answered: list[int] = []
        self._place, self._port, self._first = place, port, first

    def run(self, over: Event) -> None:
        """Repeat each call until it is answered; every tenth answer ends the connection."""
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)) as wire:
            self._give(wire, over)

    def _give(self, wire: http.client.HTTPConnection, over: Event) -> None:
        number = self._first
        while not over.is_set():
            try:
                if number % 10 == 0:
                    wire.close()
                body = json.dumps({"amount": number, "reason": "a gift"})
                wire.request("POST", PATH, body, self._place.headers(f"gift-{number}"))
                answer = wire.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException):
                wire.close()
                continue
            if answer.status == 201:
                self.answered.append(number)
                number += 1
            else:
                assert answer.status in {409, 503}, text  # the first call may still be at work


def test_a_killed_process_is_replaced_and_a_killed_parent_leaves_none(place: Place) -> None:
    """
    Requests reach both processes, and one that is killed under load is replaced.

    All that was answered is stored, once. When the parent is killed, its children end.
    """
    port = free_port()
    parent = place.serve(port)
    first = {each.pid for each in children_of(parent)}
    over, clients = Event(), [Client(place, port, 1 + 100_000 * number) for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(client.run, over) for client in clients]
        try:
            wait_until(lambda: connected(port, parent) == first, "both have connections")
            victim = min(first)
            os.kill(victim, signal.SIGKILL)

            def is_replaced() -> bool:
                return len(connected(port, parent) - {victim}) == 2

            wait_until(is_replaced, "a new one has connections", state=place.log)
        finally:
            over.set()
        for each in done:
            each.result()
    given = place.credits()
    children = children_of(parent)
    os.kill(parent.pid, signal.SIGKILL)

    assert len(given) == len(set(given))
    assert {number for client in clients for number in client.answered} <= set(given)
    assert [line["pid"] for line in place.said("web.process_replaced")] == [victim]
    wait_until(lambda: not any(map(running, children)), "all have ended", seconds=10)
    assert port_is_free(port)


def test_a_request_that_has_begun_is_answered_after_sigterm(place: Place) -> None:
    """Nobody listens any more, and who has sent half of a request is answered all the same."""
    port = free_port()
    parent = place.serve(port)
    body = json.dumps({"amount": 7, "reason": "a gift"}).encode()
    head = {**place.headers("slow"), "Host": "x", "Content-Length": str(len(body))}
    lines = [f"POST {PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
    with socket.create_connection(("127.0.0.1", port), timeout=30) as wire:
        wire.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body[:5])
        wait_until(lambda: bool(connected(port, parent)), "the request has begun")
        begun = connected(port, parent)
        os.kill(parent.pid, signal.SIGTERM)
        wait_until(lambda: is_refused(port), "nobody listens")
        still = {each.pid for each in children_of(parent)}
        wire.sendall(body[5:])
        answer = wire.recv(65_536)

    assert begun <= still
    assert answer.startswith(b"HTTP/1.1 201")
    assert place.credits() == [7]
    assert parent._popen.wait(30) == -signal.SIGTERM
    assert [line["processes"] for line in place.said("web.processes_started")] == [2]


def test_ctrl_c_during_a_start_is_no_traceback(place: Place) -> None:
    """It reaches all processes of the terminal; they end, and the exit code is that of one."""
    parent = place.start(free_port())
    wait_until(lambda: len(children_of(parent)) == 2, "both have been started")
    os.killpg(parent.pid, signal.SIGINT)

    assert parent._popen.wait(30) == 0
    assert "Traceback" not in place.log()


def test_a_port_in_use_is_one_line(place: Place) -> None:
    """No process is started then, and the exit code is that of one process."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        parent = place.start(taken.getsockname()[1])
        assert parent._popen.wait(30) == START_FAILED

    [line] = place.log().splitlines()
    assert "address already in use" in json.loads(line)["why"]


def test_missing_parts_are_refused_before_a_process_is_started(place: Place) -> None:
    """A database that does not answer and a number of processes that is none are one line each."""
    for setting, value in {
        "BILLING_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "BILLING_WEB_PROCESSES": "0",
    }.items():
        parent = place.start(free_port(), **{setting: value})
        assert parent._popen.wait(30) == 1
        assert parent.last_words().startswith("billing: ")
        assert setting in parent.last_words()

    assert len(place.log().splitlines()) == 2


def test_processes_that_never_start_are_not_started_for_ever(place: Place) -> None:
    """After three in a row the parent gives up, with the exit code of a failed start."""
    broken = place.folder / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "import os, sys\nif '--multiprocessing-fork' in sys.orig_argv: os._exit(9)\n"
    )
    parent = place.start(free_port(), PYTHONPATH=str(broken))

    assert parent._popen.wait(30) == START_FAILED
    assert [line["exit_code"] for line in place.said("web.given_up")] == [9]
    assert len(place.said("web.process_replaced")) == 2
