"""`billing doctor`: check settings, connections, migrations, ticks, and what needs an operator.

Each line is ok or wrong, and a wrong one says how to fix it. Nothing is changed and no request is
sent to the gateway; for secrets it shows only whether they are set.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from billing.cli import engine, options, output, refusals
from billing.domain.errors import BillingError

if TYPE_CHECKING:
    from datetime import datetime

    from billing.config import Settings
    from billing.services.reading.now import Tick
    from billing.store.session import Database

EXAMPLE = options.example("billing doctor --json")
CONNECT_SECONDS = 5
PAUSE_SECONDS = 2.0
Wait = Annotated[
    int,
    typer.Option(
        "--wait", min=0, max=3600, metavar="SECONDS",
        help="Repeat the checks until all are ok, at most this long",
    ),
]  # fmt: skip
MARKS = ("wrong", "warning", "ok")
"""The marks of checks, in the order in which people see them."""


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check."""

    name: str
    ok: bool
    detail: str
    warns: bool = False
    """For information; the command does not fail because of it."""

    @property
    def mark(self) -> str:
        """Return the mark at the start of the check's line."""
        return "wrong" if not self.ok else "warning" if self.warns else "ok"


def doctor(*, wait: Wait = 0, as_json: options.Json = False) -> None:
    """Check configuration, connections, migrations and ticks, and list what needs an operator.

    Exits 1 on any problem: a server is unreachable, a tick fails, a row is held, work is late.
    After a start nothing has run yet; with --wait the checks are repeated until all are ok.
    """
    deadline = monotonic() + wait
    while True:
        checks = list(_checks())
        ok = all(check.ok for check in checks)
        if ok or monotonic() >= deadline:
            break
        _pause(min(PAUSE_SECONDS, max(deadline - monotonic(), 0)))
    shown = sorted(checks, key=lambda check: MARKS.index(check.mark))
    lines = [(check.mark, check.name, check.detail) for check in shown]
    output.answer(
        {"ok": ok, "checks": [asdict(check) for check in checks]},
        as_json=as_json,
        people=lambda: output.marked(lines),
    )
    if not ok:
        raise typer.Exit(1)


def _pause(seconds: float) -> None:
    Event().wait(seconds)


def _checks() -> Iterator[Check]:
    try:
        settings = engine.settings()
    except BillingError as wrong:
        yield Check("settings", ok=False, detail=str(wrong))
        return
    yield from _configured(settings)
    if settings.database_url is not None:
        yield from _rows(settings)
    if settings.redis_url is not None:
        yield from _queues(settings)
    if settings.doku_client_id and settings.doku_secret_key.get_secret_value():
        yield _gateway(settings)
    else:
        # Without an account there is nothing to check: DOKU is not called by mistake.
        detail = "not connected to, without BILLING_DOKU_CLIENT_ID and BILLING_DOKU_SECRET_KEY"
        yield Check("gateway", ok=False, detail=detail)


def _configured(settings: "Settings") -> Iterator[Check]:
    needed = {
        "BILLING_DATABASE_URL": settings.database_url,
        "BILLING_REDIS_URL": settings.redis_url,
        "BILLING_DOKU_CLIENT_ID": settings.doku_client_id,
        "BILLING_DOKU_SECRET_KEY": settings.doku_secret_key.get_secret_value(),
        "BILLING_TOKEN_KEY": settings.token_key.get_secret_value(),
    }
    for name, value in needed.items():
        detail = "set" if value else "not set; set it, or start the local stack with: billing up"
        yield Check(name, ok=bool(value), detail=detail)
    from billing.config import unknown

    for wrong in unknown():
        yield Check("unknown setting", ok=True, detail=wrong, warns=True)
    clock = "on" if settings.test_clock else "off"
    yield Check("test clock", ok=True, detail=clock)


def _rows(settings: "Settings") -> Iterator[Check]:
    from billing.store.session import Database

    database = Database(settings.database, pool_size=1, pooler=settings.database_pooler)
    try:
        database.check()
        yield Check("PostgreSQL", ok=True, detail="answers")
        yield from _tables(settings)
        yield from _state(settings, database)
    except Exception as wrong:  # noqa: BLE001 - the doctor reports every error
        yield Check("database", ok=False, detail=refusals.one_line(wrong))
    finally:
        database.dispose()


def _tables(settings: "Settings") -> Iterator[Check]:
    from billing.store import migrate

    revision, head = migrate.status(settings.database, pooler=settings.database_pooler)
    detail = f"at {revision}" if revision == head else f"at {revision}, not {head}"
    remedy = "" if revision == head else "; run: billing db upgrade"
    yield Check("migrations", ok=revision == head, detail=detail + remedy)


def _state(settings: "Settings", database: "Database") -> Iterator[Check]:
    from billing.services.reading import read_models

    state = read_models.engine_state(database)
    row = state.row
    yield _owner(settings, row.gateway_host, row.gateway_client_id)
    if settings.test_clock:
        stands = output.written("at", row.clock_at)
        yield Check("test clock", ok=True, detail=stands)
    stopped = row.stopped_at
    why = f" ({row.stopped_reason})" if row.stopped_reason else ""
    who = f" by {state.stopped_by}" if state.stopped_by else ""
    since = f"since {output.written('at', stopped)}{who}{why}"
    yield Check(
        "charging",
        ok=stopped is None,
        detail="on"
        if stopped is None
        else f"stopped {since}; start again with: billing start-charging",
    )
    yield from _ticks(settings, database)
    yield from _attention(settings, database)
    if settings.token_key.get_secret_value():
        yield _keys(settings, database)


def _owner(settings: "Settings", host: str | None, client_id: str | None) -> Check:
    name = "database belongs to"
    if host is None:
        return Check(name, ok=True, detail="no gateway yet; the first worker decides")
    if (host, client_id) == (settings.gateway_host, settings.doku_client_id):
        return Check(name, ok=True, detail=f"{host} as {client_id}")
    wanted = f"{settings.gateway_host} as {settings.doku_client_id or 'nobody'}"
    return Check(
        name,
        ok=False,
        detail=f"{host} as {client_id}, but the settings say {wanted}, so nothing is charged;"
        " if they are right: billing start-charging",
    )


def _ticks(settings: "Settings", database: "Database") -> Iterator[Check]:
    from billing.clock import real_now
    from billing.services.reading import now as situation
    from billing.store.queries import engine as statements

    with database.transaction() as connection:
        found = statements.heartbeats(connection)
    now = real_now()
    ticks = situation.ticks(found, now, situation.intervals(settings.tick_seconds))
    yield from _workers(ticks, now, int(3 * settings.tick_seconds) + situation.SPARE_SECONDS)
    for each in ticks:
        is_new = each.began_at is None and not each.is_seldom
        yield Check(f"tick {each.name}", ok=not _fails(each), detail=_last(each, now), warns=is_new)


def _workers(ticks: "Sequence[Tick]", now: "datetime", patience: int) -> Iterator[Check]:
    """Check that ticks run, and that each that has run succeeds."""
    # A tick that runs once an hour does not tell whether the others run.
    began = {
        each.name: each.began_at
        for each in ticks
        if each.began_at is not None and not each.is_seldom
    }
    start = "start: celery -A workers.app worker, and: celery -A workers.app beat"
    if not began:
        detail = f"no tick has run yet; after a start: billing doctor --wait 60; else {start}"
        yield Check("workers", ok=False, detail=detail)
        return
    stale = min(began, key=lambda name: began[name])
    age = int((now - began[stale]).total_seconds())
    detail = f"every tick ran within the last {max(age, 0)} s"
    if age > patience:
        detail = f"the tick {stale} ran {age} s ago, more than {patience} s; {start}"
    elif len(began) < sum(not each.is_seldom for each in ticks):
        detail = f"{len(began)} ticks ran within the last {max(age, 0)} s; the others not yet"
    yield Check("workers", ok=age <= patience, detail=detail)
    failing = [each for each in ticks if _fails(each)]
    detail = "; ".join(_failure(each) for each in failing) or "every tick that ran succeeded lately"
    yield Check("ticks succeed", ok=not failing, detail=detail)


def _fails(tick: "Tick") -> bool:
    """Whether a tick that has run has not succeeded recently; an hourly one, if it failed last."""
    if tick.is_seldom:
        return tick.error is not None
    return tick.began_at is not None and tick.is_late


def _last(tick: "Tick", now: "datetime") -> str:
    """Say when a tick succeeded, and what its last run failed with."""
    if tick.began_at is None:
        return "has not run yet" + ("; it runs once an hour" if tick.is_seldom else "")
    last = tick.succeeded_at
    age = "never succeeded" if last is None else f"succeeded {_ago(last, now)}"
    if tick.is_paced and not tick.error:
        age += f"; ran {_ago(tick.began_at, now)}, and skips its work while that is recent"
    return f"{age}; its last run failed with {tick.error}" if tick.error else age


def _ago(at: "datetime", now: "datetime") -> str:
    from billing.services.reading.attention import span

    return f"{span(max(int((now - at).total_seconds()), 0))} ago"


def _failure(tick: "Tick") -> str:
    last = output.written("at", tick.succeeded_at) if tick.succeeded_at else "never"
    why = f", and failed with {tick.error}" if tick.error else ""
    return f"{tick.name} succeeded last: {last}{why}; see the worker's log"


def _attention(settings: "Settings", database: "Database") -> Iterator[Check]:
    """Count late rows and rows that need an operator, by kind."""
    from billing import bootstrap
    from billing.services.reading import attention

    now = bootstrap.clock(settings, database).now()
    counts = attention.counted(database, now, settings.tick_seconds)
    late = [each for each in counts if each.cause == "late"]
    yield Check(
        "oldest due",
        ok=not late,
        detail=f"{attention.in_words(late, now)}; see: billing attention" if late
        else "no work is late",
    )  # fmt: skip
    for kind in ("subscription", "invoice", "charge", "refund", "wallet"):
        found = [each for each in counts if each.kind == kind and each.cause != "late"]
        alarms = [each for each in found if each.alarm]
        detail = attention.in_words(found, now) or "none needs attention"
        more = "; see: billing attention" if alarms else ""
        yield Check(f"{kind}s", ok=not alarms, detail=detail + more)


def _keys(settings: "Settings", database: "Database") -> Check:
    from billing.services.operating import token_keys
    from billing.store.vault import Vault

    tried = token_keys.try_all(database, Vault(settings.token_keys))
    shut = token_keys.trouble(tried)
    counts = ", ".join(f"{each.tried} {each.what}" for each in tried)
    return Check("token key opens", ok=not shut, detail=shut or f"all sampled values: {counts}")


def _queues(settings: "Settings") -> Iterator[Check]:
    from redis import Redis, RedisError

    from billing.bootstrap import QUEUES

    client = Redis.from_url(
        settings.redis, socket_timeout=CONNECT_SECONDS, socket_connect_timeout=CONNECT_SECONDS
    )
    try:
        lengths = [f"{name} {client.llen(name)}" for name in QUEUES]
    except RedisError as wrong:
        yield Check("Redis", ok=False, detail=refusals.one_line(wrong))
        return
    finally:
        client.close()
    yield Check("Redis", ok=True, detail="answers")
    yield Check("messages waiting", ok=True, detail=", ".join(lengths))


def _gateway(settings: "Settings") -> Check:
    """Connect to the gateway, with a TLS handshake for https; send no request."""
    import socket
    import ssl
    from urllib.parse import urlsplit

    base = settings.doku_proxy or settings.doku_base_url
    target = urlsplit(base)
    secure = target.scheme == "https"
    kind = "production" if settings.production else "not production"
    where = f"{settings.doku_base_url} ({kind})"
    try:
        address = (target.hostname or "", target.port or (443 if secure else 80))
        with socket.create_connection(address, CONNECT_SECONDS) as plain:
            if secure:
                with ssl.create_default_context().wrap_socket(
                    plain, server_hostname=target.hostname
                ):
                    pass
    except (OSError, ValueError) as wrong:
        remedy = "check BILLING_DOKU_BASE_URL, BILLING_DOKU_PROXY and the network"
        return Check("gateway", ok=False, detail=f"cannot reach {where}: {wrong}; {remedy}")
    who = "the proxy on the way there" if settings.doku_proxy else "it"
    shaken = "its certificate is good; " if secure else ""
    return Check(
        "gateway",
        ok=True,
        detail=f"{where}: {who} accepts connections; {shaken}no request was sent",
    )
