"""The DOKU client never shows its secrets: not in its repr, its errors or its log."""

import json

import pytest
from structlog.testing import CapturingLogger

from billing.domain.errors import NotConfigured
from billing.gateway.doku import DokuGateway
from tests.unit.gateway_peer import CLIENT_ID, NOW, SECRET, Request, signed_reply
from tests.unit.test_transport_gateway import NUMBER, TOKEN, gateway, paid, peer_that, sealed


def test_secret_is_not_shown() -> None:
    """A client that ends up in a log or a traceback keeps its key to itself."""
    with gateway("http://127.0.0.1:1") as made:
        assert SECRET not in repr(made)
        assert SECRET not in str(made)


@pytest.mark.parametrize(
    ("client_id", "secret", "seconds"),
    [
        ("", SECRET, 5),
        ("  ", SECRET, 5),
        ("a\nb", SECRET, 5),
        ("é", SECRET, 5),
        (CLIENT_ID, "", 5),
        (CLIENT_ID, SECRET, 0),
    ],
)
def test_senseless_settings_are_refused_at_once(
    client_id: str, secret: str, seconds: float
) -> None:
    """It is refused at the start, without showing the secret."""
    with pytest.raises(NotConfigured) as refused:
        DokuGateway("https://api.doku.com", client_id, secret, seconds, lambda: NOW)

    assert SECRET not in str(refused.value)


def test_a_call_logs_one_line_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name, status and milliseconds; no token, phone, address, signature or body."""
    log = CapturingLogger()
    monkeypatch.setattr("billing.gateway.transport._log", log)

    def answer(request: Request) -> bytes:
        if len(peer.requests) == 1:
            return signed_reply(request, json.dumps(paid()).encode())
        return b"garbage " + TOKEN.encode() + b"\r\n\r\n"

    with peer_that(answer) as peer, gateway(peer.url) as made:
        made.pay(sealed(made))
        made.pay(sealed(made))

    assert [
        (c.method_name, *c.args, c.kwargs["call"], c.kwargs["http_status"]) for c in log.calls
    ] == [
        ("debug", "gateway.called", "pay", 201),
        ("debug", "gateway.called", "pay", None),
    ]
    for private in (SECRET, TOKEN, "087123123021", "qa@example.com", "HMACSHA256", NUMBER):
        assert private not in str(log.calls)
