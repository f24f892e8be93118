"""Addresses: which URLs and IP addresses a webhook may be sent to.

A URL comes from outside, and the sender stands inside the merchant's network: without these rules
it would reach services that trust their network. This module resolves no names.
"""

import re
from collections.abc import Set as AbstractSet
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from billing.domain.errors import InvalidValue

URL_MAX = 2_000
PORTS = {"http": 80, "https": 443}
PORT_MIN = 1024
"""Ports below belong to other services, such as mail; 80 and 443 are the exceptions."""
_WRITTEN = re.compile(r"[!-~]+")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
NAT64 = ip_network("64:ff9b::/96")
"""An IPv4 address is in the last 32 bits (RFC 6052); gateways translate it."""
GLOBAL = ip_network("2000::/3")
"""What IANA has given out as global unicast; everything else is special."""
CLOSED = tuple(
    ip_network(text)
    for text in (
        "168.63.129.16/32",  # Azure: metadata and health, a public address
        "192.0.0.0/24",  # protocol assignments (RFC 6890); Oracle's metadata
        "192.88.99.0/24",  # 6to4 relays (RFC 7526)
        "2001::/32",  # Teredo (RFC 4380)
        "2002::/16",  # 6to4 (RFC 3056)
        "2001:db8::/32",  # documentation (RFC 3849)
        "3fff::/20",  # documentation (RFC 9637)
    )
)
"""Not for us, although Python may call them global."""


class Target(NamedTuple):
    """A checked URL, in the parts that a request needs."""

    scheme: str
    host: str
    port: int
    path: str
    is_allowed: bool  # its host is in the settings: any address, and plain http

    @property
    def host_header(self) -> str:
        """The value of the header Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def target(url: str, allowed_hosts: AbstractSet[str]) -> Target:
    """Check a URL and divide it into parts. Raises InvalidValue, which does not repeat the URL."""
    if len(url) > URL_MAX:
        raise InvalidValue(f"the URL must have at most {URL_MAX:,} characters", field="url")
    if not _WRITTEN.fullmatch(url) or "\\" in url:
        raise InvalidValue("the URL must be ASCII without blanks and backslashes", field="url")
    parts, port = _split(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise InvalidValue("the URL must begin with https:// and a host", field="url")
    if "@" in parts.netloc:
        raise InvalidValue("the URL must not contain a user or a password", field="url")
    if "#" in url:
        raise InvalidValue("the URL must not contain a fragment (#)", field="url")
    host = parts.hostname.removesuffix(".").lower()
    is_allowed = host in allowed_hosts
    if parts.scheme != "https" and not is_allowed:
        raise InvalidValue(
            "the URL must begin with https://"
            " (http only for hosts in BILLING_WEBHOOK_ALLOWED_HOSTS)",
            field="url",
        )
    _check_host(host, is_allowed=is_allowed)
    number = PORTS[parts.scheme] if port is None else port
    if not is_allowed and number not in PORTS.values() and number < PORT_MIN:
        said = f"the port must be 443, 80, or {PORT_MIN} and above, not {number}"
        raise InvalidValue(said, field="url")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, number, path, is_allowed)


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, and to no special service in it.

    An IPv4 address inside an IPv6 address counts as itself.
    """
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        inner = _embedded(ip)
        return is_public(str(inner)) if inner is not None else _is_public_6(ip)
    return _is_open(ip) and ip.is_global and not ip.is_multicast


def _is_public_6(ip: IPv6Address) -> bool:
    return ip.scope_id is None and ip in GLOBAL and _is_open(ip) and ip.is_global


def _is_open(ip: IPv4Address | IPv6Address) -> bool:
    return not any(ip in network for network in CLOSED if network.version == ip.version)


def _embedded(ip: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that a mapped (`::ffff:a.b.c.d`) or NAT64 address stands for."""
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    assert isinstance(NAT64, IPv6Network)  # noqa: S101 - for the type only
    return IPv4Address(int(ip) & 0xFFFF_FFFF) if ip in NAT64 else None


def _split(url: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidValue("the host or the port of the URL is invalid", field="url") from None
    if port == 0:
        raise InvalidValue("the port of the URL must not be 0", field="url")
    return parts, port


def _check_host(host: str, *, is_allowed: bool) -> None:
    """Raise InvalidValue unless the host is a name, or an address that may be called.

    A number such as 2130706433, 0x7f.1 or 0177.0.0.1 is an address to some resolvers.
    """
    try:
        literal = str(ip_address(host))
    except ValueError:
        labels = host.split(".")
        if (
            len(host) > 253
            or not all(_LABEL.fullmatch(label) for label in labels)
            or _NUMBER.fullmatch(labels[-1])
        ):
            raise InvalidValue(
                "the host of the URL is neither a name nor an IP address", field="url"
            ) from None
        return
    if not is_allowed and not is_public(literal):
        raise InvalidValue("the host of the URL must be a public address", field="url")
