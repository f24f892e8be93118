"""URLs: accept only well-formed ones that are encrypted or stay on this machine.

No connection is opened here, and no gateway is known.
"""

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

# DOKU, Customer Binding: URLs are strings of up to 2048 characters.
URL_MAX = 2048

_TEXT = re.compile(rf"[!-~]{{1,{URL_MAX}}}")


def is_url(url: str) -> bool:
    """Whether `url` is http or https, with a host, without blanks and credentials."""
    return _parts(url) is not None


def is_private_url(url: str, plain_host: str = "") -> bool:
    """Whether data sent to `url` stays private: https, or plain http to this machine.

    Plain http to `plain_host` is allowed too, for a sandbox in another container.
    """
    parts = _parts(url)
    if parts is None or parts.scheme == "https":
        return parts is not None
    return _is_loopback(parts.hostname) or (bool(plain_host) and parts.hostname == plain_host)


def _parts(url: str) -> SplitResult | None:
    if not _TEXT.fullmatch(url):
        return None
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if is_usable and "@" not in parts.netloc else None


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
