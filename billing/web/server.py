"""Server: run the HTTP interface under uvicorn, and end it without cutting a request off."""

from ipaddress import ip_network

import uvicorn

from billing import bootstrap, config, logs
from billing.domain.errors import NotConfigured
from billing.web import app

GRACE_SECONDS = 20
"""How long requests that have begun may take after the first signal."""
KEEP_ALIVE_SECONDS = 30
NO_ADDRESS = "no proxy"
"""Not empty: uvicorn would then take its own setting from the environment."""


def run(host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM. Raises NotConfigured when a setting is missing.

    h11 refuses headers of more than 64 KB, which the faster parser does not. A client that sends
    its headers slowly is for the proxy in front to end.
    """
    settings = config.load()
    logs.configure(settings.log_format, settings.log_level)
    context = bootstrap.build(settings, connections=settings.web_threads)
    context.database.check()
    uvicorn.run(
        app.create(context), host=host, port=port, http="h11", log_config=None, access_log=False,
        server_header=False, proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=proxies(settings.trusted_proxies),
        timeout_keep_alive=KEEP_ALIVE_SECONDS, timeout_graceful_shutdown=GRACE_SECONDS,
    )  # fmt: skip


def proxies(written: str) -> str:
    """Return the addresses and networks of trusted proxies for uvicorn, or raise NotConfigured."""
    found = [each.strip() for each in written.split(",") if each.strip()]
    for each in found:
        try:
            ip_network(each)
        except ValueError:
            raise NotConfigured(
                f"BILLING_TRUSTED_PROXIES: {each!r} is no address and no network;"
                " write 10.0.0.5 or 10.0.0.0/24"
            ) from None
    return ",".join(found) or NO_ADDRESS
