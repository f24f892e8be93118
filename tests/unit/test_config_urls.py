"""URLs of the settings: a password that is not encoded is refused, and no part of it is shown."""

import pytest
from celery import Celery
from redis import Redis

from billing.config import Settings, load
from billing.domain.errors import NotConfigured

LOGINS = ["me:hun@ter2", "me:hun@ter2?x", "me:hun@ter2?x=1", "me:hun@ter2/x", "me:hun@ter2#x",
          "me:1?hun@ter2", "me:1/hun@ter2?x", "me:1#hun@ter2", ":hun@1?ter2", "me:hun?ter2",
          "me:hun@hun?ter2@ter2"]  # fmt: skip
"""Names and passwords with characters that would end them too early."""
URLS = {
    "database_url": "postgresql://{}@db.example/billing",
    "redis_url": "redis://{}@redis.example:6379/0",
    "doku_proxy": "http://{}@proxy.example:3128",
    "doku_base_url": "https://{}@api.doku.com",
}


def _load(monkeypatch: pytest.MonkeyPatch, **values: str) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(f"BILLING_{name.upper()}", value)
    return load([])


def _refusal(monkeypatch: pytest.MonkeyPatch, **values: str) -> str:
    with pytest.raises(NotConfigured) as refused:
        _load(monkeypatch, **values)
    return str(refused.value)


def _host(name: str, settings: Settings) -> str | None:
    """The host that the client of a setting would call."""
    if name == "database_url":
        from sqlalchemy import make_url

        return make_url(settings.database).host
    if name == "redis_url":
        return str(Redis.from_url(settings.redis).connection_pool.connection_kwargs["host"])
    from urllib.parse import urlsplit

    return urlsplit(settings.doku_proxy).hostname


@pytest.mark.parametrize("login", LOGINS)
@pytest.mark.parametrize("name", URLS)
def test_a_password_that_is_not_encoded_never_becomes_a_host(
    name: str, login: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused with one line that shows nothing of it, or read as it was meant."""
    try:
        settings = _load(monkeypatch, **{name: URLS[name].format(login)})
    except NotConfigured as refused:
        said = str(refused)
        assert said.startswith(f"BILLING_{name.upper()}: ")
        assert len(said.splitlines()) == 1
        assert not [part for part in ("hun", "ter2") if part in said]
        if name != "doku_base_url":
            assert "%40" in said
    else:
        assert _host(name, settings) in URLS[name]


@pytest.mark.parametrize("name", ["database_url", "redis_url", "doku_proxy"])
def test_an_encoded_password_is_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the line of a refusal advises."""
    login = "me:hun%40ter2%3F%2F%23"

    settings = _load(monkeypatch, **{name: URLS[name].format(login)})

    assert _host(name, settings) in URLS[name]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://h:6379/0?foo=1", "unknown parameter 'foo'"),
        ("redis://h:6379/0?db=1", "unknown parameter 'db'"),
        ("redis://h:6379/0?socket_timeout=1", "unknown parameter 'socket_timeout'"),
        ("rediss://h:6379/0?ssl_cert_req=none", "did you mean ssl_cert_reqs?"),
        ("rediss://h:6379/0?ssl_cert_reqs=maybe", "required, optional or none"),
        ("redis://h:6379/0?ssl_cert_reqs=none", "begin it with rediss://"),
        ("redis://h:6379/queue", "number of a database"),
        ("redis://h:6379/0/1", "number of a database"),
        ("redis://h:6379/0#1", "number of a database"),
    ],
)
def test_a_redis_url_that_a_client_would_not_take_is_refused(
    url: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Celery and our own client read the URL; what one of them ignores or fails on is named."""
    said = _refusal(monkeypatch, redis_url=url)

    assert told in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    "url",
    ["redis://h", "redis://h:6379", "redis://h:6379/", "redis://h:6379/15", "redis://[::1]:1/0",
     "rediss://me:p@h:6379/1", "rediss://h/0?ssl_cert_reqs=required&ssl_ca_certs=/ca.pem",
     "rediss://h/0?ssl_cert_reqs=none&ssl_check_hostname=false"],
)  # fmt: skip
def test_both_clients_of_redis_take_the_url(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same host and database."""
    used = _load(monkeypatch, redis_url=url).redis
    pool = Redis.from_url(used).connection_pool
    pool.make_connection()
    with Celery("urls", broker=used, set_as_current=False) as app:
        channel_options = app.connection_for_write()
        assert channel_options.hostname == pool.connection_kwargs["host"]
        path = (channel_options.virtual_host or "/").strip("/")
        assert int(path or 0) == pool.connection_kwargs.get("db", 0)


@pytest.mark.parametrize(
    "url", ["https://api doku.com", "https://api.doku.com%2F", "https://é.doku.com"]
)
def test_the_gateway_has_a_plain_host(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no host name is refused before the first call."""
    assert "must be a URL such as https://" in _refusal(monkeypatch, doku_base_url=url)


@pytest.mark.parametrize("query", ["password=hun&ter2", "password=hun&ter2=x", "password=hun&&ter2",
                                   "sslmode=require&password=hun&ter2"])  # fmt: skip
@pytest.mark.parametrize("name", ["database_url", "redis_url"])
def test_a_password_with_an_ampersand_names_no_parameter(
    name: str, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a parameter its rest would be dropped, or shown as the name of an unknown one."""
    url = URLS[name].format("me") + f"?{query}"
    said = _refusal(monkeypatch, **{name: url})
    assert "%26" in said
    assert len(said.splitlines()) == 1
    assert not [part for part in ("hun", "ter2") if part in said]


def test_a_parameter_without_a_value_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client library's reader drops it without a word."""
    url = "postgresql://me:x@db.example/billing?sslmode=require&verify"
    assert "without a value" in _refusal(monkeypatch, database_url=url)


def test_an_encoded_ampersand_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the line of the refusal advises, and a password before the host as it is."""
    from sqlalchemy import make_url

    query = "postgresql://db.example/billing?user=me&password=hun%26ter2"
    assert make_url(_load(monkeypatch, database_url=query).database).query["password"] == "hun&ter2"
    before = "postgresql://me:hun&ter2@db.example/billing"
    assert make_url(_load(monkeypatch, database_url=before).database).password == "hun&ter2"
