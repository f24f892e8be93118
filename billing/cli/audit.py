"""`billing audit`: check the invariants against the database rows and the gateway."""

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer

from billing.cli import arguments, engine, options, output
from billing.domain.errors import InvalidValue

EXAMPLE = options.example(
    "billing audit --json", "billing audit --gateway --since 2026-11-01T00:00+07:00"
)

Gateway = Annotated[
    bool,
    typer.Option("--gateway", help="Also query the gateway for every charge in a time window."),
]
Since = Annotated[
    str | None, typer.Option(help="Start of the window, ISO 8601; default: one day before its end.")
]
Until = Annotated[str | None, typer.Option(help="End of the window, ISO 8601; default: now.")]


def audit(
    *,
    gateway: Gateway = False,
    since: Since = None,
    until: Until = None,
    as_json: options.Json = False,
) -> None:
    """Check every invariant; exit 1 and list findings when one is broken."""
    if not gateway and (since or until):
        raise InvalidValue("--since and --until need --gateway")
    with engine.engine() if gateway else engine.writing() as context:
        from billing.services.reading import auditing

        findings = [asdict(finding) for finding in auditing.audit(context)]
        if gateway:
            end = arguments.instant(until) if until else context.clock.now()
            begin = arguments.instant(since) if since else end - timedelta(days=1)
            found = auditing.audit_gateway(context, begin, end)
            findings += [asdict(finding) for finding in found]

    def people() -> None:
        if not findings:
            output.say("every invariant holds" + (", and the gateway agrees" if gateway else ""))
            return
        output.table(findings, ("name", "detail"), empty="")

    output.answer({"ok": not findings, "findings": findings}, as_json=as_json, people=people)
    if findings:
        raise typer.Exit(1)
