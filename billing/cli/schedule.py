"""`billing schedule`: compute due dates without a database, a gateway or settings."""

from typing import Annotated

import typer

from billing.cli import arguments, options, output
from billing.domain.errors import InvalidValue
from billing.domain.instants import HOME_TIMEZONE

app = options.noun("Preview a schedule before creating a plan with it.")
COUNT_MAX = 10_000

Every = Annotated[
    str | None, typer.Option("--every", metavar="INTERVAL", help='"1 month", "2 weeks", "10 days"')
]
Cron = Annotated[
    str | None, typer.Option("--cron", metavar="EXPR", help="Five fields, or six with seconds last")
]
Timezone = Annotated[
    str, typer.Option("--timezone", metavar="TZ", help="Time zone of the due dates.")
]


@app.callback()
def _group() -> None:
    """Keep `preview` a subcommand although it is the only one."""


@app.command(
    epilog=options.example('billing schedule preview --start 2026-01-31T09:00 --every "1 month"')
)
def preview(
    start: Annotated[
        str,
        typer.Option("--start", metavar="ISO", help="The anchor; local time without an offset."),
    ],
    every: Every = None,
    cron: Cron = None,
    timezone: Timezone = HOME_TIMEZONE,
    count: Annotated[str, typer.Option("--count", metavar="N", help="Number of due dates.")] = "12",
    *,
    as_json: options.Json = False,
) -> None:
    """List the first due dates; the first one is period 0."""
    from schedules.calendar import Calendar
    from schedules.walltime import ScheduleError, asked_wall, parse_timezone

    one_schedule(every, cron)
    wanted = arguments.whole(count, "--count", COUNT_MAX)
    try:
        place = parse_timezone(timezone)
        anchor = asked_wall(arguments.moment(start, timezone), place)
        if every is not None:
            calendar = Calendar.every(every, anchor=anchor, timezone=place)
        else:
            calendar = Calendar.cron(cron or "", anchor=anchor, timezone=place)
        due = calendar.first(wanted)
    except ScheduleError as error:
        raise InvalidValue(str(error)) from None

    def people() -> None:
        for index, date in enumerate(due):
            output.say(f"{index:>4}  {date:%a}  {output.written('due', date)}")
        output.say(f"cron: {'  and  '.join(calendar.crons)}")

    # A schedule is about local time, so its dates stay in the timezone that was asked for.
    shown = {"crons": list(calendar.crons), "due": [at.isoformat() for at in due]}
    output.answer(shown, as_json=as_json, people=people)


def one_schedule(every: str | None, cron: str | None) -> None:
    """Require exactly one of --every and --cron; anything else is wrong usage."""
    if (every is None) == (cron is None):
        both = "not both; " if every is not None else ""
        raise typer.BadParameter(
            f'{both}give one of --every "1 month" and --cron "0 9 1 * *"',
            param_hint="--every / --cron",
        )
