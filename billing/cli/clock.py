"""`billing clock`: show and move the test clock."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, NamedTuple
from zoneinfo import ZoneInfo

import typer

from billing.cli import arguments, engine, options, output
from billing.domain.instants import HOME_TIMEZONE

if TYPE_CHECKING:
    from billing.services.context import Context

app = options.noun(
    "The test clock; it moves forward only, and is refused with the production gateway."
)


class Time(NamedTuple):
    """The billing time, and whether it is the test clock's."""

    now_at: datetime
    test_clock: bool


@app.command(epilog=options.example("billing clock show"))
def show(*, as_json: options.Json = False) -> None:
    """Show the current billing time."""
    with engine.writing() as context:
        time = _time(context)
    _print(time, as_json=as_json)


@app.command("set", epilog=options.example("billing clock set 2026-03-01T09:00"))
def set_(
    at: Annotated[str, typer.Argument(metavar="ISO", help="Local time without an offset.")],
    reason: options.Reason = None,
    who: options.By = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Set the test clock to an instant."""
    instant, by = arguments.instant(at), arguments.operator(reason, who)
    with engine.writing() as context:
        from billing.services.operating import test_clock

        test_clock.set_clock(context, instant, by)
        time = _time(context)
    _print(time, as_json=as_json)


@app.command(epilog=options.example('billing clock advance "30d" --wait'))
def advance(
    duration: Annotated[str, typer.Argument(metavar="DURATION", help='"30d", "1 month", "12h"')],
    reason: options.Reason = None,
    who: options.By = None,
    *,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Stop at each due instant and wait until its work is done."),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Move the test clock forward; with --wait, run everything due on the way in order."""
    by = arguments.operator(reason, who)
    with engine.writing() as context:
        from billing.services.operating import test_clock

        until = arguments.later(context.clock.now(), duration)
        if wait:
            tell = None if as_json else _tell
            test_clock.advance(context, _ticks(context), until, by, tell)
        else:
            test_clock.set_clock(context, until, by)
        time = _time(context)
    _print(time, as_json=as_json)


def _ticks(context: "Context") -> Callable[[str], None]:
    """Return the function that sends a tick by its task name."""
    from billing.bootstrap import messenger

    client = messenger(context.settings)

    def send(tick: str) -> None:
        client.send_task(tick, queue="ticks")

    return send


def _tell(instant: datetime) -> None:
    output.say(output.written("at", _at_home(instant)))


def _at_home(instant: datetime) -> datetime:
    return instant.astimezone(ZoneInfo(HOME_TIMEZONE))


def _time(context: "Context") -> Time:
    return Time(_at_home(context.clock.now()), context.settings.test_clock)


def _print(time: Time, *, as_json: bool) -> None:
    kind = "test clock" if time.test_clock else "real time; there is no test clock"
    words = f"{output.written('at', time.now_at)} ({kind})"
    output.answer(time, as_json=as_json, people=lambda: output.say(words))
