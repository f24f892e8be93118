"""Settings, read from the environment and checked once at start.

This module knows names, defaults and formats; it opens no connection. A mistake is one line that
names the variable, what is wrong with it and what would be right.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from difflib import get_close_matches
from math import ceil
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from billing import config_files
from billing.config_checks import DOKU_SANDBOX, Checks
from billing.domain.errors import NotConfigured
from billing.domain.escaping import escape
from billing.domain.money import MAX_AMOUNT
from billing.domain.outcomes import Fault

DOKU_PRODUCTION = "https://api.doku.com"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

PREFIX = "BILLING_"
ROUNDS_MAX = 6
"""How many charges per thread may be claimed and unanswered at most."""


class Settings(Checks):
    """Everything that can be set from outside; docs/settings.md is generated from it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    database_url: SecretStr | None = Field(
        default=None,
        description="PostgreSQL: postgresql://user@host/db; a socket directory in ?host= too",
    )
    database_pooler: Literal["", "transaction"] = Field(
        default="",
        description="`transaction` behind a pooler in that mode, such as PgBouncer",
    )
    redis_url: SecretStr | None = Field(default=None, description="Redis: redis://host:6379/0")
    doku_base_url: str = Field(default=DOKU_SANDBOX, description="Base URL of the gateway")
    doku_client_id: str = Field(default="", description="Client-Id from DOKU's back office")
    doku_secret_key: SecretStr = Field(
        default=SecretStr(""), description="Secret key from DOKU's back office"
    )
    doku_timeout_seconds: Annotated[Decimal, Field(gt=0, le=600)] = Field(
        default=Decimal(75),
        description="How long a charge may take before its outcome counts as unknown",
    )
    doku_proxy: str = Field(
        default="", repr=False, description="HTTP proxy towards the gateway, if any"
    )
    doku_plain_host: str = Field(
        default="",
        description="Host that may be called by plain http, for development: the sandbox in another"
        " container",
    )
    doku_notification_path: str = Field(
        default="/doku/notifications",
        description="Path of the public URL to which DOKU sends notifications; DOKU signs it",
    )
    faults: dict[str, Fault] = Field(
        default_factory=dict,
        description='JSON: gateway codes and the fault class each means, {"E123": "limit"}',
    )
    token_key: SecretStr = Field(
        default=SecretStr(""),
        description="Key in Fernet's form (32 bytes, base64url) that encrypts wallet tokens;"
        " several, comma-separated, rotate",
    )
    tick_seconds: Annotated[Decimal, Field(ge=Decimal("0.2"), le=3600)] = Field(
        default=Decimal(10), description="How often beat looks for due work"
    )
    batch_size: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=32,
        description="Charges in one message; a worker keeps claiming due invoices after it",
    )
    batch_threads: Annotated[int, Field(ge=1, le=256)] = Field(
        default=32, description="Concurrent gateway calls in one worker process"
    )
    worker_processes: Annotated[int, Field(ge=1, le=64)] = Field(
        default=2,
        description="Charging processes of one worker; it has one more for other tasks",
    )
    charges_per_second: Annotated[int, Field(ge=0, le=100_000)] = Field(
        default=0, description="Maximum charges per second of all workers together; 0: no limit"
    )
    not_found_horizon_seconds: Annotated[int, Field(ge=60, le=604_800)] = Field(
        default=900,
        description='Age from which the gateway\'s "not found" for a charge is believed',
    )
    customer_charges_a_day_max: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=24, description="A customer is not charged more often than this within a day"
    )
    rupiah_an_hour_max: Annotated[int, Field(ge=1, le=10**15)] = Field(
        default=100_000_000_000,
        description="Charging stops, with an alarm, when an hour's charges would exceed this",
    )
    breaker_window_seconds: Annotated[int, Field(ge=60, le=3000)] = Field(
        default=300,
        description="Charging stops, with an alarm, when within this time an unusual share of the"
        " gateway's answers are hard or wallet declines, or not from the gateway",
    )
    breaker_answers_min: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=20, description="... but only after at least this many answers within that time"
    )
    breaker_share_percent: Annotated[int, Field(ge=0, le=100)] = Field(
        default=50,
        description="The unusual share in per cent; 0: never stop",
    )
    wallet_wait_days: Annotated[int, Field(ge=1, le=366)] = Field(
        default=30,
        description="How long an unpaid invoice waits for a wallet before it becomes uncollectible",
    )
    backdate_days_max: Annotated[int, Field(ge=0, le=3_660)] = Field(
        default=35,
        description="How many days back a start or imported date may lie without --backdate",
    )
    balance_recheck_seconds: Annotated[int, Field(ge=1, le=2_678_400)] = Field(
        default=21600,
        description="Wait before the balance of a wallet that was short is queried again",
    )
    link_success_url: str = Field(
        default="https://example.com/linked", description="Where OVO sends a customer who linked"
    )
    link_failure_url: str = Field(
        default="https://example.com/not-linked",
        description="Where OVO sends a customer who did not link",
    )
    web_processes: Annotated[int, Field(ge=1, le=64)] = Field(
        default=1,
        description="Processes of `billing serve`; each has its own threads and connections",
    )
    web_threads: Annotated[int, Field(ge=1, le=200)] = Field(
        default=8,
        description="Requests that one web process works on at the same time; it keeps as many"
        " connections to PostgreSQL",
    )
    web_requests_per_second: Annotated[int, Field(ge=0, le=100_000)] = Field(
        default=200, description="Requests per second of one API key; 0: no limit"
    )
    metrics_token: SecretStr = Field(
        default=SecretStr(""),
        description="Bearer token that /metrics asks for; empty: no token is needed to read"
        " the figures, which name no customer",
    )
    trusted_proxies: str = Field(
        default="", description="Reverse proxies, comma-separated, whose X-Forwarded-* is believed"
    )
    sso_header: str = Field(
        default="",
        description="Single sign-on: the request header in which a reverse proxy names the person;"
        " empty: people log in with a password",
    )
    sso_proxies: str = Field(
        default="",
        description="The proxies, comma-separated, from which that header is believed",
    )
    approval_refund_above: Annotated[int, Field(ge=0, le=MAX_AMOUNT)] = Field(
        default=0,
        description="A second person approves what refunds more rupiah than this in the console;"
        " 0: nothing needs it",
    )
    approval_bulk_above: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=0,
        description="A second person approves an action on more rows than this in the console;"
        " 0: nothing needs it",
    )
    approval_hours: Annotated[int, Field(ge=1, le=720)] = Field(
        default=24, description="How long a request for approval can be approved"
    )
    flower_hosts: str = Field(
        default="",
        description="Host names allowed for Flower in addition to 127.0.0.1 and localhost,"
        " comma-separated",
    )
    webhook_allowed_hosts: str = Field(
        default="",
        description="Host names, for development, to which webhooks may be sent by plain http and"
        " at private addresses, comma-separated",
    )
    test_clock: bool = Field(default=False, description="Billing time is set by `billing clock`")
    log_format: Literal["console", "json"] = Field(
        default="console", description="Log lines for people or for machines"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lowest log level that is written"
    )
    home: Path = Field(default=Path(".local"), description="Folder for all data of `billing up`")
    up_port: Annotated[int, Field(ge=1024, le=65000)] = Field(
        default=5555, description="Flower's port under `billing up`; the sandbox takes the next"
    )

    @model_validator(mode="after")
    def _encrypted_unless_simulated(self) -> Self:
        parts = urlsplit(self.doku_base_url)
        if parts.scheme == "http" and parts.hostname not in {*LOOPBACK, self.doku_plain_host}:
            raise ValueError(
                "BILLING_DOKU_BASE_URL: must be https (plain http only to this machine, and for a"
                " sandbox to BILLING_DOKU_PLAIN_HOST)"
            )
        return self

    @model_validator(mode="after")
    def _sign_on_from_named_proxies(self) -> Self:
        if bool(self.sso_header) != bool(self.sso_proxies):
            raise ValueError("BILLING_SSO_HEADER and BILLING_SSO_PROXIES: set both, or neither")
        return self

    @model_validator(mode="after")
    def _no_test_clock_in_production(self) -> Self:
        if self.test_clock and self.production:
            raise ValueError("BILLING_TEST_CLOCK cannot be used with the production gateway")
        return self

    @model_validator(mode="after")
    def _horizon_beyond_every_call(self) -> Self:
        longest = ceil(ROUNDS_MAX * self.doku_timeout_seconds)
        if self.not_found_horizon_seconds <= longest:
            raise ValueError(
                f"BILLING_NOT_FOUND_HORIZON_SECONDS must be above {longest}, which is how long a"
                f" claimed charge may wait and take ({ROUNDS_MAX} times the time-out)"
            )
        return self

    @property
    def doku_missing(self) -> list[str]:
        """List the missing settings for access to the gateway."""
        access = {
            "BILLING_DOKU_CLIENT_ID": self.doku_client_id,
            "BILLING_DOKU_SECRET_KEY": self.doku_secret_key.get_secret_value(),
        }
        return [name for name, value in access.items() if not value]

    @property
    def gateway_host(self) -> str:
        """The gateway's host name, without a port."""
        return (urlsplit(self.doku_base_url).hostname or "").rstrip(".")

    @property
    def production(self) -> bool:
        """Whether the gateway moves real customers' money."""
        return self.gateway_host == urlsplit(DOKU_PRODUCTION).hostname

    @property
    def flower_names(self) -> frozenset[str]:
        """Host names under which Flower may be called, in addition to those of this machine."""
        return _listed(self.flower_hosts)

    @property
    def webhook_hosts(self) -> frozenset[str]:
        """Hosts that webhooks may reach by plain http and at private addresses."""
        return _listed(self.webhook_allowed_hosts)

    @property
    def database(self) -> str:
        """The database URL; raises NotConfigured when it is missing."""
        if self.database_url is None:
            raise NotConfigured(_absent("BILLING_DATABASE_URL", "postgresql://user@host/billing"))
        return self.database_url.get_secret_value()

    @property
    def redis(self) -> str:
        """The Redis URL; raises NotConfigured when it is missing."""
        if self.redis_url is None:
            raise NotConfigured(_absent("BILLING_REDIS_URL", "redis://localhost:6379/0"))
        return self.redis_url.get_secret_value()

    @property
    def token_keys(self) -> Sequence[str]:
        """The Fernet keys, newest first; raises NotConfigured when there is none."""
        keys = [key.strip() for key in self.token_key.get_secret_value().split(",") if key.strip()]
        if not keys:
            raise NotConfigured(
                "BILLING_TOKEN_KEY is not set; make one with: python -c "
                "'from cryptography.fernet import Fernet as F; print(F.generate_key().decode())'"
            )
        return keys


def _listed(names: str) -> frozenset[str]:
    return frozenset(filter(None, (name.strip().lower() for name in names.split(","))))


def _absent(name: str, example: str) -> str:
    return f"{name} is not set; use {example}, or start the local stack with: billing up"


def load(env_files: Sequence[Path] | None = None) -> Settings:
    """Read the settings. Raises NotConfigured with one line.

    Sources, strongest first: the environment, `.env`, and the file that a running `billing up`
    wrote in its folder, so that a second terminal finds the local stack automatically.
    """
    try:
        if env_files is None:
            # `.env` may name that folder.
            home = _of_files([Path(".env")]).home
            env_files = (home / "stack.env", Path(".env"))
        return _of_files(env_files)
    except ValidationError as invalid:
        raise NotConfigured(config_files.one_line(invalid, PREFIX)) from None
    except (OSError, UnicodeDecodeError) as unreadable:
        raise NotConfigured(f"cannot read .env or stack.env: {unreadable}") from None


def _of_files(files: Sequence[Path]) -> Settings:
    given = config_files.values_of(files)
    names = ((field, PREFIX + field.upper()) for field in Settings.model_fields)
    return Settings.model_validate({field: given[name] for field, name in names if name in given})


def unknown(names: Iterable[str] | None = None) -> list[str]:
    """Suggest the right name for each unknown variable with our prefix; values are not shown.

    By default the names are those of the environment and of `.env` in the working folder.
    """
    known = {name.upper() for name in Settings.model_fields}
    given = {name.upper() for name in (config_files.names() if names is None else names)}
    ours = {name.removeprefix(PREFIX) for name in given if name.startswith(PREFIX)}
    mistakes = []
    for name in sorted(ours - known):
        near = get_close_matches(name, known, n=1)
        meant = f"; did you mean {PREFIX}{near[0]}?" if near else ""
        mistakes.append(f"{PREFIX}{escape(name)} is no setting{meant}")
    return mistakes
