"""The servers of a benchmark: PostgreSQL, Redis and the sandbox, durable as in production.

They are started for it and removed afterwards. It measures nothing.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from cryptography.fernet import Fernet

from billing import bootstrap
from billing.config import Settings
from billing.local import programs, servers
from billing.local.environment import for_children, overlay
from billing.local.processes import Child, Crew, until
from billing.local.servers import Server
from billing.sandbox import process as sandbox_process
from billing.sandbox.process import SandboxProcess
from billing.services.context import Context
from tests import prepared
from tests.bench import people

READY_SECONDS = 60.0


@dataclass(frozen=True)
class Stage:
    """The servers, the settings that point at them, and people whose wallets are linked."""

    folder: Path
    crew: Crew
    postgres: Server
    redis: Server
    sandbox: SandboxProcess
    settings: Settings
    context: Context
    people: int

    @property
    def environment(self) -> dict[str, str]:
        """What the engine's processes are started with."""
        return for_children(self.settings, {})

    def connect(self) -> psycopg.Connection:
        """Open a separate connection that commits each statement."""
        return psycopg.connect(self.postgres.url, autocommit=True)

    def wallet_takes(self, milliseconds: int) -> None:
        """Set the delay of every answer of the gateway."""
        self.sandbox.control("PUT", "defaults", {"delay_ms": milliseconds})

    def start_engine(self, worker: list[str] | None = None) -> tuple[Child, Child]:
        """Start a worker and a beat in the usual way, and return when both work."""
        parts = (
            programs.worker(self.settings, self.folder / "worker.log", self.environment),
            programs.beat(self.folder / "beat", self.folder / "beat.log", self.environment),
        )
        children = [self.crew.start(part.program) for part in parts]
        for part, child in zip(parts, children, strict=True):
            if not until(part.ready, READY_SECONDS):
                raise RuntimeError(f"{part.program.name} did not start: {child.last_words()}")
        return children[0], children[1]


@contextmanager
def stage(count: int, **settings: str) -> Iterator[Stage]:
    """Set everything up, with `count` customers whose wallets are linked; take it down after."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    crew = Crew()
    crew.remove_at_end(folder)
    try:
        people.link_at_gateway(folder / "sandbox.jsonl", count)
        with sandbox_process.start(folder / "sandbox.jsonl") as sandbox:
            prepared.lay(folder / "postgres")
            postgres = servers.start_postgres(crew, folder / "postgres", folder / "postgres.log")
            redis = servers.start_redis(crew, folder / "redis", folder / "redis.log")
            named = {
                "BILLING_DATABASE_URL": postgres.url,
                "BILLING_REDIS_URL": redis.url,
                "BILLING_DOKU_BASE_URL": sandbox.url,
                "BILLING_DOKU_CLIENT_ID": sandbox.client_id,
                "BILLING_DOKU_SECRET_KEY": sandbox.secret_key,
                "BILLING_TOKEN_KEY": Fernet.generate_key().decode(),
                "BILLING_LOG_FORMAT": "json",
            }
            chosen = overlay(Settings(), named | settings)
            prepared.upgrade(chosen.database)
            context = bootstrap.build(chosen)
            with psycopg.connect(postgres.url, autocommit=True) as connection:
                people.link_here(connection, context.vault, count)
            yield Stage(folder, crew, postgres, redis, sandbox, chosen, context, count)
            context.database.dispose()
    finally:
        crew.close()
        shutil.rmtree(folder, ignore_errors=True)


def forget_own_settings() -> None:
    """The developer's own settings are not used here."""
    for name in [name for name in os.environ if name.startswith("BILLING_")]:
        del os.environ[name]
