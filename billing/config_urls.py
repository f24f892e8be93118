"""URLs of the settings: what each must look like. A message never repeats a password.

Each function raises ValueError with the end of a sentence that begins with the setting's name.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from ipaddress import ip_network
from re import fullmatch
from urllib.parse import SplitResult, urlsplit

ODD_URL = "is no URL: its host or port is invalid (write %40, %2F … for @, / … in a password)"


def postgresql(value: str) -> str:
    """Return the URL with the driver that is used; only PostgreSQL is supported."""
    scheme, _, rest = value.partition("://")
    if scheme not in {"postgresql", "postgresql+psycopg", "postgres"} or not rest:
        raise ValueError("must start with postgresql:// (no other database is supported)")
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    url = f"postgresql+psycopg://{rest}"
    try:
        parts = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError(ODD_URL) from None
    # An @ that is left belongs to a password, and messages show host and database.
    if "@" in f"{parts.host}{parts.database}":
        raise ValueError(ODD_URL)
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


def _known(parameters: Mapping[str, object]) -> None:
    """Refuse parameters that PostgreSQL's client library rejects; ValueError says what is right."""
    from psycopg.pq import Conninfo

    if "prepare_threshold" in parameters:
        raise ValueError(
            "takes no prepare_threshold; behind a transaction pooler"
            " set BILLING_DATABASE_POOLER=transaction"
        )
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    unknown = sorted(set(parameters) - known)
    if unknown:
        near = get_close_matches(unknown[0], known, n=1)
        advice = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"has an unknown parameter {unknown[0]!r}{advice}")
