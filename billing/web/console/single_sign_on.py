"""Single sign-on: the name of a person in a request header that a reverse proxy sets.

Only the proxies of the settings are believed, by the address of the connection itself, which no
header can change. A doubtful header is refused and never read in another way. Off by default.
"""

from ipaddress import IPv6Address, ip_address, ip_network

import structlog
from starlette.requests import Request

from billing.config import Settings
from billing.domain.people import NAME_MAX
from billing.web.console.stopped import Stopped

log = structlog.get_logger(__name__)


def is_on(settings: Settings) -> bool:
    """Whether people come through a proxy that has checked who they are."""
    return bool(settings.sso_header)


def claimed(request: Request, settings: Settings) -> str | None:
    """Return the name that a trusted proxy gives; None without the header, or when it is off.

    Raises Stopped for a header from elsewhere, for two, and for a value that is no single name.
    """
    if not is_on(settings):
        return None
    wanted = settings.sso_header.lower().encode()
    found = [(n, value) for n, value in request.scope["headers"] if n.replace(b"_", b"-") == wanted]
    if not found:
        return None
    peer = getattr(request.state, "peer", None)
    if not _is_trusted(peer, settings.sso_proxies):
        raise _refused("peer", peer)
    if len(found) > 1:
        raise _refused("twice", peer)
    name, value = found[0]
    if name != wanted:
        raise _refused("spelling", peer)
    try:
        text = bytes(value).decode()
    except UnicodeDecodeError:
        raise _refused("encoding", peer) from None
    # A comma is what a proxy makes of two headers.
    is_name = text == text.strip() and text.isprintable() and "," not in text
    if not is_name or not 0 < len(text) <= NAME_MAX:
        raise _refused("value", peer)
    return text


def _is_trusted(peer: str | None, proxies: str) -> bool:
    try:
        address = ip_address(peer or "")
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in ip_network(each) for each in proxies.split(",") if each)


def _refused(why: str, peer: str | None) -> Stopped:
    """Log a header without its value, which may be anything, and return the refusal."""
    log.warning("sign_on.refused", why=why, peer=peer or "unknown")
    return Stopped(403, "sign_on")
