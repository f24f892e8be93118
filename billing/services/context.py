"""What every service is given: where the rows are, who the gateway is, what time it is."""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from billing.clock import Clock
from billing.config import Settings
from billing.domain.charge import ASK_AFTER
from billing.domain.errors import InvalidValue
from billing.domain.identity import from_outside
from billing.domain.outcomes import Gateway
from billing.domain.settlement import Limits
from billing.store.queries import commands, engine
from billing.store.session import Database
from billing.store.vault import Vault

LEASE_SECONDS = 45
"""Real seconds before a tick enqueues the same work again; a lost message costs this much, and
what a killed worker had not begun is begun again within a minute."""

SWITCHOVER_SECONDS = 8
"""How long a worker that lost the database waits for a server that takes writes."""


@dataclass(frozen=True, slots=True)
class Context:
    """The engine's parts, put together by `billing.bootstrap`."""

    settings: Settings
    database: Database
    gateway: Gateway
    clock: Clock
    vault: Vault
    pool: Executor
    """Calls to the gateway, many at a time."""
    desk: Executor
    """What is written beside other work, one after the other: claims, a batch of an import."""

    @property
    def limits(self) -> Limits:
        """How long things may wait."""
        return Limits(
            not_found_horizon=timedelta(seconds=self.settings.not_found_horizon_seconds),
            wallet_wait=timedelta(days=self.settings.wallet_wait_days),
            confirm_after=self._confirm_after,
        )

    @property
    def _confirm_after(self) -> timedelta:
        """How long a suspected decline waits: until the breaker has seen all of its window."""
        if not self.settings.breaker_share_percent:
            return ASK_AFTER[0]
        return timedelta(seconds=self.settings.breaker_window_seconds) + ASK_AFTER[0]


@dataclass(frozen=True, slots=True)
class Request:
    """A command that may come twice: its key, its name and its JSON arguments."""

    key: str
    task: str
    arguments: dict[str, Any]


def derived_id(connection: Connection, request: Request | None) -> UUID | None:
    """The id of what a command with a key makes: the same order makes the same thing.

    Also in a database that was restored from before it, which has forgotten the key.
    """
    if request is None:
        return None
    return from_outside(engine.installation(connection), request.task, request.key)


def check_same(request: Request | None, earlier: object, wanted: object) -> None:
    """Raise InvalidValue when a key that was forgotten made something for another order."""
    if request is not None and earlier != wanted:
        raise InvalidValue(
            f"idempotency key {request.key} was used for {request.task} with other arguments;"
            " use a new key"
        )


def once(
    context: Context,
    request: Request | None,
    act: Callable[[Connection, datetime], dict[str, Any]],
) -> dict[str, Any]:
    """Run `act` in a transaction, once for each key; a repeat returns what the first one did.

    What `act` refuses is rolled back with its key, so that it may be tried again.
    """
    now = context.clock.now()
    with context.database.transaction() as connection:
        if request is None:
            return act(connection, now)
        if commands.begin(connection, request.key, request.task, request.arguments, now):
            result = act(connection, now)
            commands.finish(connection, request.key, result)
            return result
        earlier = commands.earlier(connection, request.key)
        if (earlier["task"], earlier["arguments"]) != (request.task, request.arguments):
            raise InvalidValue(
                f"idempotency key {request.key} was used for {earlier['task']} with other"
                " arguments; use a new key"
            )
        return dict(earlier["result"] or {})
