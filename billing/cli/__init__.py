"""The `billing` command: parse, call a service, print.

Exit codes: 0 done, 1 refused, 2 wrong usage; errors print one line on stderr. A traceback is never
printed. Services, drivers and Rich are imported inside the commands that need them.
"""

import gc
import importlib
import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Annotated

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from billing.cli import (
    arguments,
    attention,
    audit,
    charge,
    clock,
    coupon,
    credit,
    customer,
    db,
    doctor,
    event,
    forecast,
    import_export,
    invoice,
    key,
    listen,
    options,
    person,
    plan,
    refund,
    refunds,
    refusals,
    schedule,
    simulate,
    stop_charging,
    subscribe,
    subscription,
    usage,
    wallet,
    webhook,
)
from billing.domain.errors import InvalidValue, NotConfigured

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Recurring OVO charges: no invoice paid twice, no period lost, no outcome assumed.",
    epilog="Run a demo without an account: [bold]billing up[/bold]."
    " Check the installation: [bold]billing doctor[/bold].",
)


def _version(wanted: bool) -> None:  # noqa: FBT001 - Typer passes the value by position
    if wanted:
        from importlib.metadata import version

        typer.echo(version("ovo-billing"))
        raise typer.Exit


@app.callback()
def _root(
    *,
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command(epilog=options.example("billing up --plain"))
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


@app.command(epilog=options.example("billing serve --port 8000"))
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


app.add_typer(schedule.app, name="schedule")
app.add_typer(plan.app, name="plan")
app.add_typer(customer.app, name="customer")
app.add_typer(wallet.app, name="wallet")
app.command("subscribe", epilog=subscribe.EXAMPLE)(subscribe.subscribe)
app.add_typer(subscription.app, name="subscription")
app.add_typer(invoice.app, name="invoice")
app.add_typer(charge.app, name="charge")
app.command("refund", epilog=refund.EXAMPLE)(refund.refund)
app.add_typer(refunds.app, name="refunds")
app.add_typer(coupon.app, name="coupon")
app.add_typer(credit.app, name="credit")
app.add_typer(event.app, name="event")
app.add_typer(key.app, name="key")
app.add_typer(person.app, name="person")
app.add_typer(webhook.app, name="webhook")
app.command("listen", epilog=listen.EXAMPLE)(listen.listen)
app.command("attention", epilog=attention.ATTENTION)(attention.attention)
app.command("release", epilog=attention.RELEASE)(attention.release)
app.command("audit", epilog=audit.EXAMPLE)(audit.audit)
app.command("import", epilog=import_export.IMPORT)(import_export.import_)
app.command("export", epilog=import_export.EXPORT)(import_export.export)
app.command("forecast", epilog=forecast.EXAMPLE)(forecast.forecast)
app.add_typer(simulate.app, name="simulate")
app.add_typer(clock.app, name="clock")
app.command("stop-charging", epilog=stop_charging.STOP)(stop_charging.stop_charging)
app.command("start-charging", epilog=stop_charging.START)(stop_charging.start_charging)
app.command("doctor", epilog=doctor.EXAMPLE)(doctor.doctor)
app.add_typer(db.app, name="db")


GARBAGE_THRESHOLD = 50_000


def run(words: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    try:
        code = _command(words)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _drop_output()  # the reader of our output has closed it
        return 1
    except Exception as error:  # noqa: BLE001 - every error is printed as one line
        with suppress(OSError):
            sys.stderr.write(f"billing: {refusals.one_line(error)}\n")
        _drop_output()
        return 1
    return code


def _drop_output() -> None:
    """Discard unwritten output; otherwise Python retries at exit and prints an error."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@cache
def _program() -> TyperGroup:
    return typer.main.get_group(app)


def _command(words: Sequence[str]) -> int:
    if any(not word.isascii() and word != word.encode(errors="replace").decode() for word in words):
        raise InvalidValue("the arguments are not all UTF-8 text")
    command = _program()
    try:
        code = command.main(list(words), prog_name=usage.PROGRAM, standalone_mode=False)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except TyperException as wrong:
        line = usage.one_line(command, words, wrong)
        if line:  # empty when help was requested and printed
            sys.stderr.write(f"billing: {line}\n")
        return usage.CODE
    return code if isinstance(code, int) else 0


def main() -> None:
    """Run the `billing` program."""
    # Thousands of rows contain no garbage: collecting took a quarter of an import's time.
    gc.set_threshold(GARBAGE_THRESHOLD)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a name is no error
    sys.exit(run(sys.argv[1:]))
