"""The programs of the local stack, forked from one parent instead of started.

Each start of a worker, a beat or a web process would import for a second what the others have
imported before. A program that is not listed here, and one that ends at its start, is started as
always; `billing up` and the demo start every program in the usual way.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import IO, cast

from billing.local import processes
from billing.local.processes import Program
from tests.forked import CHILD_SECONDS, Parent, decoded

PROGRAMS = {"billing.sandbox", "billing.web", "tests.faults.siege.receiver", "workers"}
FIRST = (
    "billing.bootstrap", "billing.cli.program", "billing.gateway.doku", "billing.sandbox.server",
    "billing.services.collecting.charging", "billing.services.collecting.opening_batches",
    "billing.services.operating.call_times", "billing.services.operating.invoice_actions",
    "billing.services.operating.kill_switch", "billing.services.operating.metrics",
    "billing.services.operating.upkeep", "billing.services.subscriptions.canceling",
    "billing.services.subscriptions.changing", "billing.services.subscriptions.subscribing",
    "billing.services.wallets.erasing", "billing.services.webhooks.fanout",
    "billing.services.webhooks.sending", "billing.services.webhooks.upcoming",
    "billing.store.migrate", "billing.web.app", "billing.web.server", "celery.apps.beat",
    "celery.apps.worker", "celery.backends.base", "celery.bin.beat", "celery.bin.worker",
    "celery.concurrency.prefork", "celery.concurrency.thread", "celery.fixups.django",
    "celery.loaders.app", "kombu.transport.redis", "redis",
    "sqlalchemy.dialects.postgresql.psycopg", "structlog",
)  # fmt: skip
"""Nothing of `workers` itself, whose import reads the settings."""
_BILLING = "from billing.cli import main; main()"
_IN_USE: list[Parent] = []


def parent() -> Parent:
    """A parent that has imported what these programs need; it is not started yet."""
    return Parent(FIRST)


@contextmanager
def forking(parent: Parent) -> Iterator[None]:
    """Fork the programs that crews start, for as long as this lasts."""
    usual = processes.launched
    _IN_USE.append(parent)

    def launched(program: Program, log: IO[bytes], register: int) -> "subprocess.Popen[bytes]":
        lower, module, words = _parted(program.argv)
        if module not in PROGRAMS or program.user:
            return usual(program, log, register)
        with Path(os.devnull).open("rb") as nothing:
            files = (nothing.fileno(), log.fileno(), log.fileno())
            child = parent.start(
                module, words, program.environment, files, folder=program.folder, lower=lower
            )
        stop = f"+{child.pid} {int(program.stop_signal)} {program.grace_seconds}\n"
        os.write(register, stop.encode())
        return cast("subprocess.Popen[bytes]", child)

    processes.launched = launched
    try:
        yield
    finally:
        processes.launched = usual
        _IN_USE.pop()


@contextmanager
def programs() -> Iterator[None]:
    """Fork programs from a parent that is ended with the last of them."""
    own = parent()
    try:
        with forking(own):
            yield
    finally:
        own.close()


def billing(words: Sequence[str], environment: Mapping[str, str]) -> "CompletedProcess[str]":
    """Run `billing` in a process of its own, which is forked where programs are."""
    if not _IN_USE:
        program = str(Path(sys.executable).with_name("billing"))
        return subprocess.run(
            [program, *words], env=environment,
            capture_output=True, text=True, timeout=CHILD_SECONDS, check=False,
        )  # fmt: skip
    return decoded(_IN_USE[-1].run("billing", words, environment, code=_BILLING))


def _parted(argv: Sequence[str]) -> tuple[int, str, Sequence[str]]:
    """Its lower priority, its module and its words; no module if it is no module of Python."""
    match argv:
        case ["nice", "-n", lower, *rest]:
            return int(lower), *_parted(rest)[1:]
        case [sys.executable, "-m", module, *words]:
            return 0, module, words
    return 0, "", ()
