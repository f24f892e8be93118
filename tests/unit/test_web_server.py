"""The web server's settings."""

import pytest

from billing.domain.errors import NotConfigured
from billing.web.server import NO_ADDRESS, proxies


@pytest.mark.parametrize(
    ("written", "trusted"),
    [("", NO_ADDRESS), (" , ", NO_ADDRESS), ("10.0.0.5", "10.0.0.5"),
     ("10.0.0.0/24, ::1", "10.0.0.0/24,::1")],
)  # fmt: skip
def test_only_named_proxies_are_trusted(written: str, trusted: str) -> None:
    """Without the setting none is, also not what uvicorn would trust by itself."""
    assert proxies(written) == trusted


@pytest.mark.parametrize("written", ["*", "proxy.example", "10.0.0.5/24", "10.0.0.5:80"])
def test_a_proxy_that_is_no_address_stops_the_start(written: str) -> None:
    """One line names the setting."""
    with pytest.raises(NotConfigured, match="BILLING_TRUSTED_PROXIES"):
        proxies(written)
