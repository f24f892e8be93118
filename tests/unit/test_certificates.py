"""The end of a certificate, read from a real TLS handshake."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from billing.gateway import certificates
from tests.unit.certificates import BEGIN, certificate_for


@contextmanager
def handshake(certificate: Path) -> Iterator[str]:
    """A server that shakes hands once; its URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                raw, _ = listener.accept()
                with context.wrap_socket(raw, server_side=True) as line:
                    line.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"https://localhost:{listener.getsockname()[1]}"
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def test_the_end_of_a_trusted_certificate_is_read(tmp_path: Path) -> None:
    """As an instant in UTC."""
    made = certificate_for(tmp_path / "peer.pem", "localhost")

    with handshake(made) as url:
        assert certificates.valid_until(url, ca_file=str(made)) == BEGIN + timedelta(days=36500)


def test_a_certificate_that_is_not_trusted_is_refused(tmp_path: Path) -> None:
    """As any call to the gateway would refuse it."""
    made = certificate_for(tmp_path / "peer.pem", "localhost")

    with handshake(made) as url, pytest.raises(ssl.SSLCertVerificationError):
        certificates.valid_until(url)


def test_plain_http_has_no_certificate() -> None:
    """Nothing is connected."""
    assert certificates.valid_until("http://127.0.0.1:1") is None
