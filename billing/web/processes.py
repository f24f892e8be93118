"""Processes: several that serve one address, and a parent that starts, watches and replaces them.

The supervisor is uvicorn's. The parent binds the address and serves nothing; each child builds an
engine and an application of its own. This module knows no route.
"""

import asyncio
import gc
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from multiprocessing import connection, resource_tracker
from time import monotonic

import uvicorn
from uvicorn.supervisors.multiprocess import SIGNALS, Multiprocess, Process

from billing import bootstrap, logs
from billing.config import Settings
from billing.domain.errors import BillingError
from billing.logs import Logger
from billing.web import server
from billing.web.server import GRACE_SECONDS, START_FAILED

log = Logger(__name__)

LOOK_SECONDS = 0.5
"""How often uvicorn's supervisor looks at its children."""
SILENT_SECONDS = 60
"""A child that answers no ping for this long is replaced, and its requests are cut off. A thread
of its own answers, which needs the interpreter for a moment only: on a busy machine a child that
works hard answers within a second. So only one that was stopped is silent."""
STARTS_MAX = 3
"""Children in a row that end before they serve; then the parent gives up."""
END_SECONDS = GRACE_SECONDS + 5
"""A child that has not ended by then is killed: it was stopped, or hangs."""
BACKLOG = 2048
"""Connections that may wait to be accepted, as uvicorn has it."""
_INTERRUPT = {signal.SIGINT}


def run(settings: Settings, host: str, port: int) -> None:
    """Serve in several processes until SIGINT or SIGTERM."""
    try:
        sockets = asyncio.run(_bound(host, port))
    except OSError as error:
        log.error("web.not_listening", host=host, port=port, why=str(error))  # noqa: TRY400 - no bug
        sys.exit(START_FAILED)
    # Also the start of this helper of multiprocessing unblocks SIGINT.
    resource_tracker.ensure_running()
    supervisor = Supervisor(settings, host, port, sockets)
    try:
        supervisor.run()
    except OSError as error:  # no more processes, or no memory
        log.error("web.not_started", why=str(error))  # noqa: TRY400 - no bug
        sys.exit(START_FAILED)
    finally:
        supervisor.kill_all()
    supervisor.end()


async def _bound(host: str, port: int) -> list[socket.socket]:
    """Bind as one process does, and listen: two programs cannot both believe in the address."""
    served = await asyncio.get_running_loop().create_server(
        asyncio.Protocol, host, port, start_serving=False
    )
    sockets = [each.dup() for each in served.sockets]
    served.close()
    for each in sockets:
        each.listen(BACKLOG)
    return sockets


class Listening(socket.socket):
    """A socket of the parent, which listens already: its queue stays as long as it is."""

    def listen(self, _backlog: int = BACKLOG, /) -> None:
        """Change nothing."""


class Child(Process):
    """A process that serves: in the parent what is known of it, in the child what it does."""

    def __init__(
        self, settings: Settings, supervised: uvicorn.Config, sockets: list[socket.socket]
    ) -> None:
        self.is_serving = False
        self.is_gone = False
        self._settings = settings
        self._is_asked, self._silent_looks = False, 0
        super().__init__(supervised, sockets)

    def start(self) -> None:
        """Start it. Ctrl-C reaches it too, and must wait until it can end without a traceback."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPT)
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPT)
        self.child_conn.close()  # the end of the child is then the end of the pipe

    def is_well(self, silent_seconds: float) -> bool:
        """Whether it runs and answers pings. This waits for nothing, so that signals are seen.

        Looks are counted and not time: while a whole container is stopped, there are none.
        """
        if not self.process.is_alive():
            return False
        with suppress(OSError, EOFError):  # it is ending
            while self.parent_conn.poll():
                self.is_serving = bool(self.parent_conn.recv())
                self._is_asked, self._silent_looks = False, 0
            if not self._is_asked:
                self.parent_conn.send(b"ping")
                self._is_asked = True
        self._silent_looks += self.is_serving  # a start may take long where many start at once
        return self._silent_looks * LOOK_SECONDS <= silent_seconds

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve; this is what the child runs."""
        gc.disable()  # imported objects stay; the application enables it
        self.parent_conn.close()  # else this process would itself keep the pipe open
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPT)
        settings = self._settings
        logs.configure(settings.log_format, settings.log_level)
        from billing.web import problems  # the parent needs none of it

        try:
            context = bootstrap.build(settings, connections=settings.web_threads, briefly=True)
            self._server = made = server.built(context, self.config.host, self.config.port)
            # asyncio accepts at most this many at once; else one child would take a whole burst.
            made.config.backlog = 1
            threading.Thread(target=self.always_pong, name="pong", daemon=True).start()
            made.run([Listening(fileno=each.detach()) for each in sockets or ()])
        except BillingError as error:
            log.error("web.not_started", why=str(error))  # noqa: TRY400 - no bug
            sys.exit(START_FAILED)
        except Exception as error:  # noqa: BLE001 - its text may repeat values of rows
            problems.log_failure(error)
            sys.exit(START_FAILED if self._server is None or not self._server.started else 1)
        if not made.started:
            sys.exit(START_FAILED)

    def always_pong(self) -> None:
        """Answer the parent's pings; stop when there is no parent any more."""
        with suppress(OSError, EOFError):
            super().always_pong()
        self.server.should_exit = True


class Supervisor(Multiprocess):
    """uvicorn's supervisor, which makes our children and gives up on failed starts."""

    processes: list[Child]  # type: ignore[assignment]  # all are made by `_started`

    def __init__(
        self, settings: Settings, host: str, port: int, sockets: list[socket.socket]
    ) -> None:
        usual = {number: signal.getsignal(number) for number in SIGNALS}
        supervised = server.configuration(
            "billing.web.app:app", host, port, settings.web_processes, SILENT_SECONDS
        )
        super().__init__(supervised, sockets)
        # The others keep their meaning: after a hang-up the parent ends, and its children then.
        for number in usual.keys() - {signal.SIGINT, signal.SIGTERM}:
            signal.signal(number, usual[number])
        self._settings = settings
        self._failed_starts = 0
        self._is_ended = self._has_failed = self._is_announced = False

    def init_processes(self) -> None:
        """Start all children."""
        for _ in range(self.processes_num):
            self.processes.append(self._started())

    def _started(self) -> Child:
        child = Child(self._settings, self.config, self.sockets)
        child.start()
        return child

    def keep_subprocess_alive(self) -> None:
        """Replace children that have ended or do not answer."""
        if self.should_exit.is_set():
            return
        for index, child in enumerate(self.processes):
            if child.is_well(self.config.timeout_worker_healthcheck):
                continue
            if not child.is_gone and self._gives_up(child):
                self._has_failed = True
                self.should_exit.set()
                return
            with suppress(OSError):  # no more processes, or no memory; the next look tries again
                self.processes[index] = self._started()
        if all(child.is_gone for child in self.processes):
            log.error("web.given_up", processes=0)  # none serves, and no other starts
            self._has_failed = True
            self.should_exit.set()
        elif all(child.is_serving for child in self.processes):
            self._failed_starts = 0
            if not self._is_announced:
                self._is_announced = True
                log.info("web.processes_started", processes=len(self.processes))

    def _gives_up(self, child: Child) -> bool:
        """End a child, and say whether too many in a row have not served."""
        child.kill()
        child.process.join()
        self._failed_starts = 0 if child.is_serving else self._failed_starts + 1
        child.is_serving, child.is_gone = (
            False,
            True,
        )  # it counts once, however long no other starts
        if child.exitcode == START_FAILED or self._failed_starts >= STARTS_MAX:
            log.error("web.given_up", pid=child.pid, exit_code=child.exitcode)
            return True
        log.warning("web.process_replaced", pid=child.pid, exit_code=child.exitcode)
        return False

    def handle_term(self) -> None:
        """End all."""
        self._is_ended = True
        super().handle_term()

    def terminate_all(self) -> None:
        """Refuse new connections, and let the children finish their requests."""
        for each in self.sockets:
            each.close()
        super().terminate_all()

    def join_all(self) -> None:
        """Wait until all have ended; a second SIGINT cuts requests off, as in one process."""
        until = monotonic() + END_SECONDS
        while monotonic() < until:
            left = [child for child in self.processes if child.process.is_alive()]
            if not left:
                return
            connection.wait([child.process.sentinel for child in left], LOOK_SECONDS)
            for number in tuple(self.signal_queue):
                self.signal_queue.remove(number)
                self._is_ended |= number == signal.SIGTERM
                for child in left:
                    with suppress(ProcessLookupError):
                        os.kill(child.process.pid or 0, number)

    def kill_all(self) -> None:
        """Kill what has not ended, so that nothing is left behind."""
        for child in self.processes:
            child.kill()
            child.process.join()

    def end(self) -> None:
        """End as one process would."""
        if self._has_failed:
            sys.exit(START_FAILED)
        if self._is_ended:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)
