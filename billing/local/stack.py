"""The supervisor of `billing up`, the demo and the tests: everything local, started in order.

Services that the settings name are used. The others are started here and keep their data in one
folder: PostgreSQL, Redis, the sandbox, then both workers, beat and Flower. It prints nothing and
does not know what the engine does.
"""

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Event
from time import monotonic
from types import TracebackType
from typing import Self

from billing import config
from billing.config import Settings
from billing.domain.errors import NotConfigured
from billing.local import programs, servers
from billing.local.environment import (
    for_children,
    kept_password,
    kept_token_key,
    overlay,
    write_env_file,
)
from billing.local.lock import HomeLock
from billing.local.processes import Child, Crew, until
from billing.local.programs import Part
from billing.local.signals import Signals
from billing.local.watch import Status, Watch

PARTS = ("worker", "webhooks", "beat", "flower")
ORDER = (*PARTS, "web")  # of their start
READY_SECONDS = 60.0
FLOWER_PASSWORD = "flower.password"  # the name of a file
SANDBOX_CLIENT_ID = "MCH-LOCAL-SANDBOX"
SANDBOX_SECRET_KEY = "SK-local-sandbox"


class Stack:
    """Everything local, from `__enter__` to `__exit__`; afterwards no process is left.

    `environment` overrides single settings (`BILLING_TEST_CLOCK=1`), `migrate` brings the
    database up to date, `say` receives the progress, `any_ports` takes free ports instead of
    BILLING_UP_PORT and the next, `stand_ins` replaces programs by other command lines.

    Ctrl-C, SIGTERM and SIGHUP raise KeyboardInterrupt in the main thread. Raises NotConfigured,
    with one line, for every error that prevents a start.
    """

    settings: Settings  # in effect, and complete
    environment: Mapping[str, str]  # of the children: our environment with exactly these settings

    def __init__(
        self,
        home: Path | None = None,
        *,
        parts: Collection[str] = PARTS,
        environment: Mapping[str, str] | None = None,
        migrate: Callable[[Settings], None] | None = None,
        say: Callable[[str], None] | None = None,
        any_ports: bool = False,
        stand_ins: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._extra = dict(environment or {})
        # Not the settings that an earlier stack left in its folder: that stack has ended.
        asked = overlay(config.load([Path(".env")]), self._extra)
        self.home = (home or asked.home).absolute()
        self.logs = self.home / "logs"
        self.settings = overlay(asked, {"BILLING_HOME": str(self.home)})
        self.flower_url = self.flower_login = self.sandbox_url = self.web_url = ""
        self._parts = [name for name in ORDER if name in parts]
        self._migrate = migrate
        self._tell = say
        self._any_ports = any_ports
        self._stand_ins = dict(stand_ins or {})
        self._signals = Signals()
        self._lock = HomeLock(self.home)
        self._crew: Crew | None = None
        self._watch: Watch | None = None

    def __enter__(self) -> Self:
        self._signals.listen()
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._end()

    def status(self) -> list[Status]:
        """Return each child's status, in the order of their start."""
        return self._watch.status() if self._watch else []

    def wait(self, pause_seconds: float = 0.25) -> None:
        """Wait, until a signal raises KeyboardInterrupt; for a caller with a view."""
        self._signals.check()
        Event().wait(pause_seconds)

    def hurry(self) -> None:
        """End quickly, as after a second Ctrl-C: no program gets time to finish."""
        self._signals.hurry.set()

    def say(self, text: str) -> None:
        """Report progress; a closed terminal must not stop the shutdown."""
        self._signals.check()
        if self._tell is not None:
            with suppress(OSError):
                self._tell(text)

    def _start(self) -> None:
        missing = self.settings.doku_missing
        if len(missing) == 1:
            raise NotConfigured(
                f"{missing[0]} is not set, but the other half of the gateway's access is; set it,"
                " or leave both out to have a gateway started here"
            )
        try:
            is_new = not self.home.exists()
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = self._lock.take()
            (self.home / "stack.env").unlink(missing_ok=True)
            try:
                flower_port, sandbox_port, web_port = self._ports()
            except NotConfigured:
                if is_new:
                    self._lock.release()
                    shutil.rmtree(self.home)
                raise
            _set_aside(self.logs)
        except OSError as failed:
            raise NotConfigured(f"cannot use the folder {self.home}: {failed.strerror}") from None
        crew = self._crew = Crew([lock], self._signals.hurry)
        self._watch = Watch(crew, self.say)
        needs_sandbox = not self.settings.doku_client_id
        self.settings = overlay(self.settings, self._needs(crew, sandbox_port))
        self.environment = for_children(self.settings, self._extra)
        if needs_sandbox:
            self.sandbox_url = self.settings.doku_base_url
            self._bring_up(crew, [self._sandbox(sandbox_port)])
        if self._migrate is not None:
            self.say("bringing the database up to date")
            self._migrate(self.settings)
        write_env_file(self.home / "stack.env", self.settings)
        # Flower asks only once, at its start, which workers run.
        first = [name for name in self._parts if name != "flower"]
        for names in (first, [name for name in self._parts if name not in first]):
            self._bring_up(crew, [self._part(name, flower_port, web_port) for name in names])
        self._watch.start()

    def _ports(self) -> tuple[int, int, int]:
        """Return the ports of Flower, sandbox and web. Raises NotConfigured when one is in use."""
        if self._any_ports:
            return servers.free_port(), servers.free_port(), servers.free_port()
        flower = self.settings.up_port
        sandbox, web = flower + 1, flower + 2
        needed = {
            flower: "flower" in self._parts,
            sandbox: not self.settings.doku_client_id,
            web: "web" in self._parts,
        }
        for port, is_needed in needed.items():
            if is_needed and not servers.port_is_free(port):
                raise NotConfigured(f"port {port} is in use; set BILLING_UP_PORT to another")
        return flower, sandbox, web

    def _needs(self, crew: Crew, sandbox_port: int) -> dict[str, str]:
        """Start the servers that no setting names, and choose all other missing settings."""
        asked, found = self.settings, {}
        if asked.database_url is None:
            self.say("starting PostgreSQL")
            postgres = servers.start_postgres(crew, self.home / "postgres", self._log("postgres"))
            found["BILLING_DATABASE_URL"] = postgres.url
        elif (problem := servers.postgres_problem(asked.database)) is not None:
            raise NotConfigured(f"BILLING_DATABASE_URL: no PostgreSQL answers there: {problem}")
        if asked.redis_url is None:
            self.say("starting Redis")
            redis = servers.start_redis(crew, self.home / "redis", self._log("redis"))
            found["BILLING_REDIS_URL"] = redis.url
        elif (problem := servers.redis_problem(asked.redis)) is not None:
            raise NotConfigured(f"BILLING_REDIS_URL: no Redis answers there: {problem}")
        if not asked.doku_client_id:
            found["BILLING_DOKU_BASE_URL"] = f"http://127.0.0.1:{sandbox_port}"
            found["BILLING_DOKU_CLIENT_ID"] = SANDBOX_CLIENT_ID
            found["BILLING_DOKU_SECRET_KEY"] = SANDBOX_SECRET_KEY
            if not asked.webhook_allowed_hosts:
                found["BILLING_WEBHOOK_ALLOWED_HOSTS"] = "127.0.0.1"
        if not asked.token_key.get_secret_value():
            found["BILLING_TOKEN_KEY"] = kept_token_key(self.home / "token.key")
        return found

    def _bring_up(self, crew: Crew, parts: Sequence[Part]) -> None:
        """Start all, then wait until each one is ready, so that they start in parallel."""
        started: list[tuple[Part, Child]] = []
        for part in parts:
            self.say(f"starting {part.program.name}")
            started.append((part, crew.start(part.program)))
        for part, child in started:
            if not until(partial(_ready_or_gone, part, child), READY_SECONDS):
                log = part.program.log
                self.say(f"{part.program.name} is not ready after a minute; log: {log}")
        for part, child in started:
            if not child.running:
                name, log = part.program.name, part.program.log
                raise NotConfigured(f"{name} did not start: {child.last_words()}; log: {log}")

    def _part(self, name: str, flower_port: int, web_port: int) -> Part:
        log, environment = self._log(name), self.environment
        if name in self._stand_ins:
            return programs.stand_in(name, self._stand_ins[name], log, environment)
        if name == "worker":
            return programs.worker(self.settings, log, environment)
        if name == "webhooks":
            return programs.webhooks(log, environment)
        if name == "beat":
            return programs.beat(self.home / "beat-schedule", log, environment)
        if name == "web":
            self.web_url = f"http://127.0.0.1:{web_port}"
            self._lock.tell(f"{self.web_url}/")
            return programs.web(web_port, log, environment)
        self.flower_url = f"http://127.0.0.1:{flower_port}"
        self.flower_login = f"operator:{kept_password(self.home / FLOWER_PASSWORD)}"
        return programs.flower(flower_port, log, environment, self.flower_login)

    def _sandbox(self, port: int) -> Part:
        environment = {
            **self.environment,
            "SANDBOX_CLIENT_ID": SANDBOX_CLIENT_ID,
            "SANDBOX_SECRET_KEY": SANDBOX_SECRET_KEY,
        }
        return programs.sandbox(port, self.home, self._log("sandbox"), environment)

    def _log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def _end(self) -> None:
        self._signals.end_begins()
        if self._watch is not None:
            self._watch.stop()
        if self._crew is not None:
            (self.home / "stack.env").unlink(missing_ok=True)
            for child in reversed(list(self._crew.children)):
                self.say(f"ending {child.program.name}")
                self._crew.end(child)
            self._crew.close()
        self._lock.release()
        self._signals.leave()


def _ready_or_gone(part: Part, child: Child) -> bool:
    settled = monotonic() - child.started >= part.settle_seconds
    return (settled and part.ready()) or not child.running


def _set_aside(logs: Path) -> None:
    """Keep the logs of the last run, and no older ones."""
    before = logs.with_name("logs.before")
    if logs.exists():
        shutil.rmtree(before, ignore_errors=True)
        logs.rename(before)
    logs.mkdir()
