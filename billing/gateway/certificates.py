"""Certificates: until when the gateway's TLS certificate is valid. No request is sent."""

import socket
import ssl
from datetime import UTC, datetime
from urllib.parse import urlsplit

CONNECT_SECONDS = 5.0


def valid_until(base_url: str, ca_file: str = "") -> datetime | None:
    """Connect with TLS, and return the end of the certificate; None for plain http.

    Raises OSError when the gateway cannot be reached or its certificate is not valid.
    """
    target = urlsplit(base_url)
    if target.scheme != "https":
        return None
    host = target.hostname or ""
    trust = ssl.create_default_context(cafile=ca_file or None)
    with (
        socket.create_connection((host, target.port or 443), CONNECT_SECONDS) as plain,
        trust.wrap_socket(plain, server_hostname=host) as shaken,
    ):
        certificate = shaken.getpeercert() or {}
    ends = str(certificate["notAfter"])
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), UTC)
