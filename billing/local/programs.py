"""The programs of the local stack: how each is started, and when it counts as ready.

They are started as a user of Celery or of the sandbox would start them; worker and beat through
`workers.__main__`, which imports less. This module knows neither their order nor what happens when
one ends.
"""

import http.client
import sys
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from billing.bootstrap import WEBHOOKS
from billing.config import Settings
from billing.local.processes import Program

WARM_SECONDS = 10.0  # for the worker to finish the charges it has started
_WORKERS = (sys.executable, "-m", "workers")
_WEBHOOK_THREADS = "8"
_LOWER = ("nice", "-n", "10")
_FLOWER = (sys.executable, "-m", "celery", "-A", "workers.flower", "flower")
_OF_FLOWER = ("BILLING_REDIS_URL", "BILLING_LOG_FORMAT", "BILLING_LOG_LEVEL")


@dataclass(frozen=True)
class Part:
    """A program, and the test that it is ready."""

    program: Program
    ready: Callable[[], bool]
    settle_seconds: float = 0.0  # how long it must have run to count as ready without a better test


def worker(settings: Settings, log: Path, environment: Mapping[str, str]) -> Part:
    """The Celery worker; ready when it answers a ping."""
    # The only worker of a broker has no others to compare clocks with; asking takes a second.
    argv = [*_WORKERS, "worker", "--without-mingle", "--without-gossip"]
    program = Program("worker", argv, log, environment, grace_seconds=WARM_SECONDS)
    return Part(program, lambda: _answers_ping(settings.redis))


def webhooks(log: Path, environment: Mapping[str, str]) -> Part:
    """The worker that sends webhooks: threads, since it only waits for receivers.

    Its priority is lower: while all cores are busy, charging goes first.
    """
    argv = [*_LOWER, *_WORKERS, "worker", "--without-mingle", "--without-gossip", "-Q", WEBHOOKS]
    argv += ["-P", "threads", "-c", _WEBHOOK_THREADS, "-n", f"{WEBHOOKS}@%h"]
    return Part(Program("webhooks", argv, log, environment), lambda: True, settle_seconds=1)


def beat(schedule: Path, log: Path, environment: Mapping[str, str]) -> Part:
    """The Celery beat, which answers no ping."""
    argv = [*_WORKERS, "beat", "-s", str(schedule)]
    return Part(Program("beat", argv, log, environment), lambda: True, settle_seconds=1)


def flower(port: int, log: Path, environment: Mapping[str, str], login: str) -> Part:
    """Flower on the loopback; its login is `name:password`.

    It gets the broker's URL, but neither the database's nor a key; it stores nothing on disk.
    """
    argv = [*_FLOWER, "--address=127.0.0.1", f"--port={port}", "--persistent=False"]
    environment = {
        name: value
        for name, value in environment.items()
        if name in _OF_FLOWER or not name.startswith(("BILLING_", "FLOWER_", "SANDBOX_"))
    }
    program = Program("flower", argv, log, environment | {"FLOWER_BASIC_AUTH": login})
    return Part(program, lambda: _http_ok(port, "/healthcheck", login))


def web(port: int, log: Path, environment: Mapping[str, str]) -> Part:
    """The HTTP interface on the loopback."""
    argv = [sys.executable, "-m", "billing.web", "--host", "127.0.0.1", "--port", str(port)]
    return Part(Program("web", argv, log, environment), lambda: _http_ok(port, "/health"))


def sandbox(port: int, home: Path, log: Path, environment: Mapping[str, str]) -> Part:
    """The sandbox, with its ledger in the state folder."""
    port_file = home / "sandbox.port"
    port_file.unlink(missing_ok=True)
    argv = [sys.executable, "-m", "billing.sandbox", "--host", "127.0.0.1", "--port", str(port)]
    argv += ["--state", str(home / "sandbox.jsonl"), "--port-file", str(port_file)]
    program = Program("sandbox", argv, log, environment)
    return Part(program, lambda: port_file.exists() and _http_ok(port, "/_sandbox/health"))


def stand_in(name: str, argv: Sequence[str], log: Path, environment: Mapping[str, str]) -> Part:
    """Another program instead of one of the above."""
    return Part(Program(name, argv, log, environment), lambda: True, settle_seconds=0.2)


def _http_ok(port: int, path: str, login: str = "") -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    headers = {"Authorization": f"Basic {b64encode(login.encode()).decode()}"} if login else {}
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _answers_ping(redis_url: str) -> bool:
    from celery import Celery  # a third of a second, and only a worker needs it
    from kombu.exceptions import OperationalError

    with Celery("ping", broker=redis_url, set_as_current=False) as app:
        try:
            replies = app.control.ping(timeout=0.5)
            names = [name for reply in replies for name in reply]
            return any(not name.startswith(f"{WEBHOOKS}@") for name in names)
        except OperationalError:
            return False
