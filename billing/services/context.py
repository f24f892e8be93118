"""Context that every service receives: database, gateway, clock and settings."""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Self, TypeVar, cast
from uuid import UUID, uuid4

import orjson
from sqlalchemy import Connection

from billing.call_times import CallTimes
from billing.clock import Clock
from billing.config import Settings
from billing.domain.charge import QUERY_AFTER
from billing.domain.erasure import is_same
from billing.domain.errors import KeyReused
from billing.domain.identity import from_outside
from billing.domain.outcomes import Gateway
from billing.domain.payloads import Json
from billing.domain.settlement import Limits
from billing.store.queries import commands, engine
from billing.store.session import Database, Joined
from billing.store.vault import Vault

A = TypeVar("A", bound=Json)
"""The answer of a command."""

LEASE_SECONDS = 45
"""Real seconds before a tick enqueues the same work again. A lost message costs this delay, and
work that a killed worker had not started is started within a minute."""

SWITCHOVER_SECONDS = 8
"""How long a worker that lost the database waits for a server that accepts writes."""


@dataclass(frozen=True, slots=True)
class Context:
    """The engine's parts, assembled by `billing.bootstrap`."""

    settings: Settings
    database: Database
    gateway: Gateway
    clock: Clock
    vault: Vault
    pool: Executor
    """Threads for concurrent gateway calls."""
    desk: Executor
    """A thread for writes in parallel with other work: claims, a batch of an import."""
    call_times: CallTimes = field(default_factory=CallTimes)
    """How long this process's gateway calls took, until they are stored."""

    def joined(self, connection: Connection) -> Self:
        """Return a context whose services work inside this open transaction."""
        return replace(self, database=Joined(connection))

    @property
    def limits(self) -> Limits:
        """Return the maximum waiting times."""
        return Limits(
            not_found_horizon=timedelta(seconds=self.settings.not_found_horizon_seconds),
            wallet_wait=timedelta(days=self.settings.wallet_wait_days),
            confirm_after=self._confirm_after,
        )

    @property
    def _confirm_after(self) -> timedelta:
        """Return how long a suspected decline waits: the breaker's whole window."""
        if not self.settings.breaker_share_percent:
            return QUERY_AFTER[0]
        return timedelta(seconds=self.settings.breaker_window_seconds) + QUERY_AFTER[0]


@dataclass(frozen=True, slots=True)
class Request:
    """A command that may arrive twice: its key, its name and its JSON arguments."""

    key: str
    task: str
    arguments: Json

    @property
    def mark(self) -> str:
        """Return what only this command and its repetitions have: the key with the arguments.

        The key alone would not do: a database that has lost it must not take another customer's
        command with the same key for the first one.
        """
        content = orjson.dumps(self.arguments, option=orjson.OPT_SORT_KEYS)
        return f"{self.key}/{sha256(content).hexdigest()[:32]}"


def derived_id(connection: Connection, request: Request | None) -> UUID | None:
    """Derive an id from a command, so that a repeated one creates the same row.

    This also holds in a restored database that has lost the key.
    """
    if request is None:
        return None
    return from_outside(engine.installation(connection), request.task, request.mark)


def order_name(request: Request | None) -> str:
    """Name an operator's order about one charge: by its key only, without its other arguments.

    In a database that has lost the key, an order with it is the same one, also with another reason
    or with another number of the same credit: money must not move twice for one key. An order
    without a key cannot be known to be a repeated one: each is another.
    """
    return f"order/{uuid4()}" if request is None else f"order/{request.task}/{request.key}"


def check_same_order(request: Request | None, *, is_same: bool) -> None:
    """Raise KeyReused when a refund was made under this key by another order."""
    if request is not None and not is_same:
        raise KeyReused(
            f"idempotency key {request.key} was used for {request.task} with other arguments;"
            " use a new key"
        )


def once(
    context: Context,
    request: Request | None,
    act: Callable[[Connection, datetime], A],
) -> A:
    """Run `act` in a transaction, once per key; a repeat returns the first result.

    When `act` raises a refusal, its key is rolled back, too, so that the command may be repeated.
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
        if earlier.task != request.task or not is_same(earlier.arguments, request.arguments):
            key = request.key.removeprefix("cli:")
            raise KeyReused(
                f"idempotency key {key} was used for {earlier.task} with other"
                " arguments; use a new key"
            )
        return cast("A", dict(earlier.result or {}))  # what `act` returned the first time


def number_in(answer: Json, name: str) -> int:
    """Read a number from a command's answer."""
    return int(str(answer[name]))


def id_in(answer: Json, name: str) -> UUID:
    """Read an id from a command's answer."""
    return UUID(str(answer[name]))
