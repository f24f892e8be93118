"""`python -m billing.sandbox`: options and environment to settings.

Every error that prevents a start is one line on stderr. It knows no sockets or state files.
"""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from billing.sandbox.protocol.signatures import Credentials
from billing.sandbox.server import Settings, StartRefused, serve
from billing.sandbox.state.journal import JournalUnusable


def main(arguments: list[str] | None = None) -> int:
    """Run the sandbox; 0 after SIGTERM or SIGINT, 1 with a reason, 2 for wrong usage."""
    parser = argparse.ArgumentParser(
        prog="python -m billing.sandbox",
        description="The sandbox: plays DOKU's OVO Recurring API, with its own ledger.",
        epilog="Environment: SANDBOX_CLIENT_ID and SANDBOX_SECRET_KEY (both required), and "
        "SANDBOX_CONTROL=open to serve /_sandbox/ on an address that others can reach.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=_port, default=9001, help="0 for a free one (%(default)s)")
    parser.add_argument("--state", type=Path, help="keep everything in this file")
    parser.add_argument("--port-file", type=Path, help="write the port here once listening")
    given = parser.parse_args(arguments)
    client_id = os.environ.get("SANDBOX_CLIENT_ID", "")
    secret = os.environ.get("SANDBOX_SECRET_KEY", "")
    if not client_id or not secret:
        return _refuse("SANDBOX_CLIENT_ID and SANDBOX_SECRET_KEY must be set")
    settings = Settings(
        host=given.host,
        port=given.port,
        state=given.state,
        port_file=given.port_file,
        credentials=Credentials(client_id, secret.encode()),
        control_open=os.environ.get("SANDBOX_CONTROL") == "open",
    )
    try:
        asyncio.run(serve(settings))
    except (JournalUnusable, StartRefused) as error:
        return _refuse(str(error))
    return 0


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError("a port is from 0 to 65535")
    return port


def _refuse(reason: str) -> int:
    sys.stderr.write(f"sandbox: {' '.join(reason.split())}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
