"""URLs of the settings: what each must look like. A message never repeats a password.

Each function raises ValueError with the end of a sentence that begins with the setting's name.
"""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from ipaddress import ip_network
from re import fullmatch
from urllib.parse import SplitResult, parse_qs, urlsplit

ODD_URL = "is no URL: its host or port is invalid (write %40, %2F … for @, / … in a password)"
BARE_AT = (
    "has an @ that does not end its name and password: write %40 for @, %3F for ?, %2F for /"
    " and %23 for # inside of them"
)
BARE_AND = (
    "has an & in the password among its parameters: write %26 for it, or write name and password"
    " before the host"
)
HOST = r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+"
REDIS_SCHEMES = frozenset({"redis", "rediss"})
TLS_PARAMETERS = frozenset(
    {"ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile"}
)
"""Parameters that both clients of Redis take, Celery's and ours."""
TLS_CHECKS = ("required", "optional", "none")


def postgresql(value: str) -> str:
    """Return the URL with the driver that is used; only PostgreSQL is supported."""
    scheme, _, rest = value.partition("://")
    if scheme not in {"postgresql", "postgresql+psycopg", "postgres"} or not rest:
        raise ValueError("must start with postgresql:// (no other database is supported)")
    # SQLAlchemy ends a password at its first @, and takes what follows for host and parameters.
    if "@" in rest.partition("?")[2]:
        raise ValueError(BARE_AT)
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    url = f"postgresql+psycopg://{rest}"
    try:
        parts = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError(ODD_URL) from None
    # An @ that is left belongs to a password, and messages show host and database.
    if "@" in f"{parts.host}{parts.database}":
        raise ValueError(BARE_AT)
    query = rest.partition("?")[2]
    if query:
        _separated(query, _libpq())
    parameters = parts.query
    if parameters:
        _known(parameters)
    return url


def split(url: str) -> SplitResult:
    """Parse a URL; urllib's own errors are replaced, because they may contain its password."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError(ODD_URL) from None
    return parts


def redis(value: str) -> str:
    """Return the URL, if both clients of Redis read it alike."""
    parts = _with_login(value)
    if parts.scheme not in REDIS_SCHEMES:
        raise ValueError("must start with redis:// or rediss://")
    if not fullmatch(r"/?[0-9]{0,5}", parts.path) or parts.fragment:
        raise ValueError("must end in the number of a database, as in redis://host:6379/0")
    _separated(parts.query, TLS_PARAMETERS)
    given = parse_qs(parts.query, keep_blank_values=True)
    unknown = sorted(set(given) - TLS_PARAMETERS)
    if unknown:
        raise ValueError(
            f"has an unknown parameter {unknown[0]!r}{_advice(unknown[0], TLS_PARAMETERS)}"
        )
    if given and parts.scheme == "redis":
        raise ValueError("has parameters for TLS: begin it with rediss://")
    if given.get("ssl_cert_reqs", ["none"])[0] not in TLS_CHECKS:
        raise ValueError("must have required, optional or none as ssl_cert_reqs")
    return value


def proxy(value: str) -> str:
    """Return the URL of an HTTP proxy, which may have a name and a password."""
    parts = _with_login(value)
    if value and (parts.scheme not in {"http", "https"} or not parts.hostname):
        raise ValueError("must be a URL with http:// or https://")
    return value


def bare(value: str, example: str) -> str:
    """Return scheme, host and port of a URL that has nothing else."""
    parts = split(value)
    if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("must be scheme and host only, without a path or a password")
    if parts.scheme not in {"http", "https"} or not fullmatch(HOST, parts.hostname or ""):
        raise ValueError(f"must be a URL such as {example}")
    return f"{parts.scheme}://{parts.netloc}"


def _with_login(url: str) -> SplitResult:
    """Parse a URL that may have a password; ValueError when a part of it would be shown."""
    parts = split(url)
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":
        raise ValueError(BARE_AT)
    return parts


def host_names(value: str) -> str:
    """Return host names, comma-separated, or raise ValueError."""
    for name in filter(None, (part.strip() for part in value.split(","))):
        if not fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", name):
            raise ValueError("must be host names without scheme and port, comma-separated")
    return value


def plain_host(value: str) -> str:
    """Return a host name that may be called by plain http, or raise ValueError."""
    if value and not fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", value):
        raise ValueError("must be a host name in small letters, without scheme and port")
    if f".{value}".endswith(".doku.com"):
        raise ValueError("must not be DOKU's own host, which is called by https only")
    return value


def networks(value: str) -> str:
    """Return addresses and networks, comma-separated without blanks, or raise ValueError."""
    found = [part.strip() for part in value.split(",") if part.strip()]
    try:
        for each in found:
            ip_network(each)
    except ValueError:
        raise ValueError("must be addresses or networks such as 10.0.0.5,10.1.0.0/24") from None
    return ",".join(found)


def _separated(query: str, known: Collection[str]) -> None:
    """Refuse a password in a query with an & in it: the rest of it would name a parameter.

    The message repeats nothing of the query, because what looks like a name may be of a password.
    """
    parts = [part.partition("=") for part in query.split("&")] if query else []
    names = {name for name, _, _ in parts}
    is_whole = all(equals for _, equals, _ in parts)
    if "password" in names and not (is_whole and names <= {*known, "password"}):
        raise ValueError(BARE_AND)
    if not is_whole:
        raise ValueError("has a parameter without a value: write name=value, and & between two")


def _libpq() -> set[str]:
    """Return the parameters that PostgreSQL's client library knows."""
    from psycopg.pq import Conninfo

    return {option.keyword.decode() for option in Conninfo.get_defaults()}


def _known(parameters: Mapping[str, object]) -> None:
    """Refuse parameters that PostgreSQL's client library rejects; ValueError says what is right."""
    if "prepare_threshold" in parameters:
        raise ValueError(
            "takes no prepare_threshold; behind a transaction pooler"
            " set BILLING_DATABASE_POOLER=transaction"
        )
    known = _libpq()
    unknown = sorted(set(parameters) - known)
    if unknown:
        raise ValueError(f"has an unknown parameter {unknown[0]!r}{_advice(unknown[0], known)}")


def _advice(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""
