"""Settings: every mistake is one line that names its variable, and no secret is ever shown."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from billing import config
from billing.config import DOKU_PRODUCTION, DOKU_SANDBOX, Settings, load
from billing.domain.errors import NotConfigured
from billing.domain.outcomes import Fault
from schedules import beat

HUGE = "9" * 30
BAD: dict[str, list[str]] = {
    "database_url": [
        "postgresql://billing:hun@ter2@localhost/billing",
        "postgresql://bil/ling:hunter2@localhost/billing",
        "mysql://root@localhost/x", "sqlite:///x.db", "postgresql://", "localhost/billing",
        "postgresql://user@host:port/db", "postgresql+asyncpg://user@host/db",
        "postgresql://user@host/db?ssl_mode=x", "postgresql://user@host/db?pgbouncer=true",
    ],
    "database_pooler": ["session", "pgbouncer", "Transaction"],
    "redis_url": [
        "http://localhost", "localhost:6379", "redis://[::1", "redis://host:port/0",
        "redis://host:70000/0",
    ],
    "doku_base_url": [
        "api.doku.com", "ftp://api.doku.com", "https://", "https://api.doku.com/v1",
        "https://api.doku.com?x=1", "https://api.doku.com#x", "https://[x", "https://host:port",
        "https://user:secret@api.doku.com",
    ],
    "doku_timeout_seconds": ["0", "-1", "601", "soon", "NaN", "Infinity"],
    "doku_proxy": ["nonsense", "ftp://proxy:21", "http://", "http://proxy:port"],
    "doku_plain_host": [
        "http://sandbox", "sandbox:9001", "Sandbox", "-x", "a b", "api.doku.com", "doku.com",
    ],
    "doku_notification_path": [
        "doku", "https://host/doku", "/", "/a?b=1", "/a//b", "/a b", "/{id}", "/../etc", "/é",
    ],
    "faults": ["{", "limit", "[]", '{"E1": "nope"}', '{"E1": 1}'],
    "token_key": ["short", "é", "A" * 43 + "=,short"],
    "tick_seconds": ["0.1", "3601", "often", "NaN"],
    "batch_size": ["0", "1001", "1.5", "many"],
    "batch_threads": ["0", "257", "x"],
    "worker_processes": ["0", "65", "x"],
    "charges_per_second": ["-1", "100001", "1.5", "x"],
    "not_found_horizon_seconds": ["59", HUGE, "x"],
    "customer_charges_a_day_max": ["0", HUGE, "x"],
    "rupiah_an_hour_max": ["0", HUGE, "1e9", "100,000"],
    "breaker_window_seconds": ["59", "3001", "x"],
    "breaker_answers_min": ["0", HUGE, "x"],
    "breaker_share_percent": ["-1", "101", "half"],
    "wallet_wait_days": ["0", "367", "x"],
    "backdate_days_max": ["-1", "3661", "x"],
    "balance_recheck_seconds": ["0", HUGE, "x"],
    "link_success_url": ["nonsense", "ftp://shop.example", "https://"],
    "link_failure_url": ["nonsense", "ftp://shop.example", "https://"],
    "web_processes": ["0", "65", "x"],
    "web_threads": ["0", "201", "x"],
    "web_requests_per_second": ["-1", "100001", "x"],
    "metrics_token": ["short", "a blank in the token", "é" * 20, "x" * 257],
    "trusted_proxies": ["*", "proxy.example", "10.0.0.5/24", "10.0.0.5:80", "10.0.0.5 10.0.0.6"],
    "sso_header": ["X_Remote_User", "remote user", "Cookie", "x-forwarded-for", "é", "1"],
    "sso_proxies": ["*", "proxy.example", "10.0.0.5/24", "10.0.0.5:80"],
    "approval_refund_above": ["-1", "10000000000", "x", "20,000"],
    "approval_bulk_above": ["-1", "1001", "x"],
    "approval_hours": ["0", "721", "x"],
    "flower_hosts": ["https://flower.example", "flower.example:5555", "a b", "-x"],
    "webhook_allowed_hosts": ["https://hook.example", "hook.example:8080", "a b"],
    "test_clock": ["perhaps", "2"],
    "log_format": ["JSON", "xml"],
    "log_level": ["loud", "INFO"],
    "up_port": ["80", "65535", "x"],
}  # fmt: skip
FREE_TEXT = {"doku_client_id", "doku_secret_key", "home"}
SECRETS = {
    "BILLING_DATABASE_URL": "postgresql://billing:hunter2-db@localhost/billing",
    "BILLING_REDIS_URL": "redis://:hunter2-redis@localhost:6379/0",
    "BILLING_DOKU_SECRET_KEY": "SK-hunter2-doku",
    "BILLING_METRICS_TOKEN": "scrape-hunter2-metrics",
    "BILLING_DOKU_PROXY": "http://me:hunter2-proxy@proxy.example:3128",
}


def _load(monkeypatch: pytest.MonkeyPatch, **values: str) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(f"BILLING_{name.upper()}", value)
    return load([])


def _refusal(monkeypatch: pytest.MonkeyPatch, **values: str) -> str:
    with pytest.raises(NotConfigured) as refused:
        _load(monkeypatch, **values)
    return str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD.items() for value in values]
)
def test_a_bad_value_is_one_line_that_names_the_variable(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the wrong variable without a traceback."""
    said = _refusal(monkeypatch, **{name: value})

    assert said.startswith(f"BILLING_{name.upper()}: ")
    assert said.count("BILLING_") == 1
    assert len(said.splitlines()) == 1


def test_every_setting_has_a_bad_value_here_or_takes_any_text() -> None:
    """A new setting without a check is noticed."""
    assert set(BAD) | FREE_TEXT == set(Settings.model_fields)


@pytest.mark.parametrize("name", ["sso_header", "sso_proxies"])
def test_single_sign_on_needs_header_and_proxies(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One without the other would be believed from nobody, or from everybody."""
    both = {"sso_header": "X-Remote-User", "sso_proxies": "10.0.0.5,10.1.0.0/24"}
    assert _load(monkeypatch, **both).sso_header == "X-Remote-User"
    monkeypatch.delenv(f"BILLING_{name.upper()}")
    with pytest.raises(NotConfigured, match="set both, or neither"):
        load([])


def test_several_mistakes_are_still_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them at once, so that one start is enough to find them."""
    said = _refusal(monkeypatch, batch_size="0", log_format="xml", faults="{")

    assert len(said.splitlines()) == 1
    for name in ("BILLING_BATCH_SIZE: ", "BILLING_LOG_FORMAT: ", "BILLING_FAULTS: "):
        assert name in said


def test_defaults_need_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any variable the settings load, and point at the gateway's sandbox."""
    settings = _load(monkeypatch)

    assert settings.doku_base_url == DOKU_SANDBOX == "https://api-sandbox.doku.com"
    assert not settings.production
    assert not settings.test_clock
    assert settings.log_format == "console"
    # OVO itself may think for 70 seconds; a shorter timeout would make unknowns of successes.
    assert settings.doku_timeout_seconds > 70
    assert settings.not_found_horizon_seconds == 15 * 60


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """`BILLING_DATABASE_URL=` in a compose file means: the default."""
    empty = dict.fromkeys(Settings.model_fields, "")

    assert _load(monkeypatch, **empty) == Settings()


@pytest.mark.parametrize("url", [DOKU_PRODUCTION, "https://API.DOKU.com", "https://api.doku.com."])
def test_test_clock_with_the_production_gateway_is_refused(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However its host is written, real money is not collected at invented dates."""
    said = _refusal(monkeypatch, doku_base_url=url, test_clock="1")

    assert said == "BILLING_TEST_CLOCK cannot be used with the production gateway"


def test_production_is_known_by_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Port and case make no other gateway of it; the sandbox is another."""
    assert _load(monkeypatch, doku_base_url="https://api.doku.com:443").production
    assert not _load(monkeypatch, doku_base_url=DOKU_SANDBOX, test_clock="1").production


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:9000", "localhost:1", "[::1]:9000"])
def test_plain_http_to_this_machine_is_allowed(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pretend gateway of a test has no certificate."""
    assert _load(monkeypatch, doku_base_url=f"http://{host}/").doku_base_url == f"http://{host}"


@pytest.mark.parametrize(
    "host",
    ["api-sandbox.doku.com", "10.0.0.1", "127.0.0.1.example.com", "localhost.example.com",
     "0.0.0.0", "127.0.0.1@example.com"],
)  # fmt: skip
def test_plain_http_to_anywhere_else_is_refused(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens and signatures do not cross a network in clear."""
    assert "BILLING_DOKU_BASE_URL: must be " in _refusal(
        monkeypatch, doku_base_url=f"http://{host}"
    )


def test_plain_http_reaches_a_simulated_gateway_that_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only the host of the setting, on any port; a name that begins with it is another host."""
    named = Settings(doku_base_url="http://sandbox:9001", doku_plain_host="sandbox")

    assert named.doku_base_url == "http://sandbox:9001"
    for other in ("http://sandbox.example:9001", "http://sandbo", "http://sandbox@x.example"):
        assert "BILLING_DOKU_BASE_URL" in _refusal(
            monkeypatch, doku_base_url=other, doku_plain_host="sandbox"
        )


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgresql://user@host/db", "postgresql+psycopg://user@host/db"),
        ("postgresql+psycopg://user@host/db", "postgresql+psycopg://user@host/db"),
        ("postgres://user@host:5433/db", "postgresql+psycopg://user@host:5433/db"),
        ("postgresql://user@/db?host=/run/pg", "postgresql+psycopg://user@/db?host=/run/pg"),
        ("postgresql://u:p%40ss@[::1]:5432/db", "postgresql+psycopg://u:p%40ss@[::1]:5432/db"),
    ],
)
def test_database_urls_that_people_have_are_read(
    given: str, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With or without the driver, over a socket directory too."""
    assert _load(monkeypatch, database_url=given).database == used


@pytest.mark.parametrize("value", ["0", "none", "5"])
def test_a_pooler_is_a_setting_and_no_parameter(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Turning prepared statements off in the URL is refused with the name of the setting."""
    said = _refusal(monkeypatch, database_url=f"postgresql://u@h/db?prepare_threshold={value}")

    assert "BILLING_DATABASE_POOLER=transaction" in said
    assert len(said.splitlines()) == 1


def test_a_parameter_is_known_to_the_client_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt option is reported, and valid ones are accepted, a list of hosts too."""
    assert "did you mean sslmode?" in _refusal(
        monkeypatch, database_url="postgres://h/d?ssl_mode=x"
    )
    url = "postgresql://u@/db?host=a:5432&host=b:5433&target_session_attrs=any&sslmode=require"
    assert _load(monkeypatch, database_url=url).database.endswith(url.partition("://")[2])


def test_an_absent_setting_is_named_with_an_example(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading needs no setting; reading a missing one raises an error with an example."""
    settings = _load(monkeypatch)

    for name in ("database", "redis", "token_keys"):
        with pytest.raises(NotConfigured, match="is not set") as refused:
            getattr(settings, name)
        assert len(str(refused.value).splitlines()) == 1


def test_token_keys_rotate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several keys, newest first, blanks and empty ones forgiven."""
    new, old = Fernet.generate_key().decode(), Fernet.generate_key().decode()

    assert _load(monkeypatch, token_key=f" {new} , {old},").token_keys == [new, old]


def test_fault_classes_are_read_from_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """DOKU publishes no list for OVO: what is learned in production is a setting."""
    settings = _load(monkeypatch, faults='{"E123": "limit", "PIN_BLOCKED": "hard"}')

    assert settings.faults == {"E123": Fault.LIMIT, "PIN_BLOCKED": Fault.HARD}


def test_secrets_are_in_no_text_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Printed, formatted, dumped or compared in a failing test, they stay stars."""
    key = Fernet.generate_key().decode()
    for name, value in {**SECRETS, "BILLING_TOKEN_KEY": key}.items():
        monkeypatch.setenv(name, value)

    settings = load([])

    shown = f"{settings} {settings!r} {settings.model_dump(exclude={'doku_proxy'})}"
    assert "hunter2" not in shown
    assert key not in shown
    assert "hunter2-db" in settings.database
    assert "hunter2-redis" in settings.redis


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("database_url", "mysql://root:hunter2@localhost/x"),
        ("database_url", "postgresql://root:hunter2@localhost:port/x"),
        ("redis_url", "http://:hunter2@localhost"),
        ("redis_url", "redis://:hunter2@[localhost"),
        ("redis_url", "redis://:hunter2/x@localhost"),
        ("redis_url", "redis://:hunter2\u2100@localhost"),
        ("doku_base_url", "https://me:hunter2@api.doku.com"),
        ("doku_proxy", "ftp://me:hunter2@proxy"),
        ("token_key", "hunter2"),
        ("faults", '{"hunter2"'),
    ],
)
def test_no_mistake_repeats_a_secret(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line says what is wrong without the value, which may hold a password."""
    assert "hunter2" not in _refusal(monkeypatch, **{name: value})


def test_settings_cannot_be_changed_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checked once at start, and true from then on."""
    settings: Any = _load(monkeypatch)

    with pytest.raises(ValueError, match="frozen"):
        settings.test_clock = True


def test_sources_are_the_environment_then_dotenv_then_the_running_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment wins over `.env`, and both over the settings of `billing up`."""
    monkeypatch.chdir(tmp_path)
    home = tmp_path / ".local"
    home.mkdir()
    home.joinpath("stack.env").write_text(
        "BILLING_BATCH_SIZE=1\nBILLING_BATCH_THREADS=1\nBILLING_WORKER_PROCESSES=1\n"
    )
    tmp_path.joinpath(".env").write_text("BILLING_BATCH_SIZE=2\nBILLING_BATCH_THREADS=2\n")
    monkeypatch.setenv("BILLING_BATCH_SIZE", "3")

    settings = load()

    found = (settings.batch_size, settings.batch_threads, settings.worker_processes)
    assert found == (3, 2, 1)


@pytest.mark.parametrize("where", ["environment", "dotenv"])
def test_a_stack_in_another_home_is_found_however_its_home_was_told(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second terminal finds the local stack, whether BILLING_HOME is exported or in `.env`."""
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "elsewhere"
    home.mkdir()
    home.joinpath("stack.env").write_text("BILLING_REDIS_URL=redis://127.0.0.1:7/0\n")
    if where == "environment":
        monkeypatch.setenv("BILLING_HOME", str(home))
    else:
        tmp_path.joinpath(".env").write_text(f"BILLING_HOME={home}\n")

    assert load().redis == "redis://127.0.0.1:7/0"


def test_foreign_lines_in_dotenv_are_no_mistakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `.env` is shared with other programs."""
    monkeypatch.chdir(tmp_path)
    tmp_path.joinpath(".env").write_text("PORT=80\nBILLING_SOMETHING_ELSE=1\nTEST_CLOCK=1\n")

    assert load() == Settings()


def test_an_unreadable_dotenv_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is no text is refused as such."""
    monkeypatch.chdir(tmp_path)
    tmp_path.joinpath(".env").write_bytes(b"BILLING_BATCH_SIZE=\xff\xfe\n")

    with pytest.raises(NotConfigured, match=r"\.env") as refused:
        load()

    assert len(str(refused.value).splitlines()) == 1


def test_every_setting_is_described() -> None:
    """docs/settings.md is made of these words."""
    assert all(field.description for field in Settings.model_fields.values())
    assert {"127.0.0.1", "localhost", "::1"} == config.LOOPBACK


@pytest.mark.parametrize(("tick", "expires"), [("0.2", 10), ("1", 10), ("10", 20), ("3600", 7200)])
def test_beat_runs_every_tick_and_drops_late_ones(tick: str, expires: int) -> None:
    """Ticks share one pace and one queue; one that waited too long is asked again anyway."""
    table = beat.schedule(Decimal(tick))

    assert set(table) == {*beat.TICKS, beat.NOTICES, beat.WEBHOOKS, beat.AHEAD, beat.AUDIT}
    for name in (*beat.TICKS, beat.NOTICES, beat.WEBHOOKS, beat.AHEAD):
        entry = table[name]
        assert entry["task"] == name
        assert entry["schedule"] == timedelta(milliseconds=int(Decimal(tick) * 1000))
        assert entry["options"] == {"queue": "ticks", "expires": expires}


def test_beat_is_a_handful_of_ticks_that_begin_with_ends() -> None:
    """A subscription that ends today opens no period today; money is swept after invoices open."""
    assert len(beat.TICKS) < 10
    order = [name.removeprefix("ticks.") for name in beat.TICKS]
    assert order.index("end_subscriptions") < order.index("open_periods")
    assert order.index("open_periods") < order.index("sweep_charges")
    audit = beat.schedule(Decimal(10))[beat.AUDIT]
    assert audit["schedule"] == timedelta(hours=1)
