"""Server: run the HTTP interface under uvicorn, and end it without cutting a request off."""

import uvicorn

from billing import bootstrap, config, logs
from billing.web import app

GRACE_SECONDS = 20
"""How long requests that have begun may take after the first signal."""
KEEP_ALIVE_SECONDS = 30
NO_ADDRESS = "no proxy"


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
        app.created(context), host=host, port=port, http="h11", log_config=None, access_log=False,
        server_header=False, proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=proxies(settings.trusted_proxies),
        timeout_keep_alive=KEEP_ALIVE_SECONDS, timeout_graceful_shutdown=GRACE_SECONDS,
    )  # fmt: skip


def proxies(trusted: str) -> str:
    """Return the setting for uvicorn, which trusts this machine when it is given nothing."""
    return trusted or NO_ADDRESS
