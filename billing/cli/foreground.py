"""`billing up` and `billing serve`: run until Ctrl-C."""

import importlib
from typing import Annotated

import typer

from billing.cli import arguments, options
from billing.domain.errors import NotConfigured

UP = options.example("billing up --plain")
SERVE = options.example("billing serve --port 8000")


def up(
    *,
    plain: Annotated[
        bool, typer.Option("--plain", help="Print plain lines instead of a live view.")
    ] = False,
) -> None:
    """Run the whole stack on this machine in the foreground; Ctrl-C stops it."""
    # Imported by name: the local stack is not below this package, and its extra may be missing.
    try:
        local = importlib.import_module("billing.local.up")
    except ImportError as missing:
        raise NotConfigured(
            "the local stack is not installed; run: pip install 'ovo-billing[local]'"
        ) from missing
    local.run(plain=plain)


def serve(
    host: Annotated[
        str, typer.Option("--host", metavar="HOST", help="Address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[str, typer.Option("--port", metavar="N", help="Port to listen on.")] = "8000",
) -> None:
    """Serve the HTTP interface in the foreground; Ctrl-C stops it."""
    # Imported by name: the interface is beside this package, not below it.
    web = importlib.import_module("billing.web.server")
    web.run(host, arguments.whole(port, "--port", 65_535))
