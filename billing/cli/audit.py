"""`billing audit`: the promises, checked against the rows as they are."""

from dataclasses import asdict

import typer

from billing.cli import engine, options, output

EXAMPLE = options.example("billing audit --json")


def audit(*, as_json: options.Json = False) -> None:
    """Check every invariant; exit 1 with a list when one does not hold."""
    with engine.engine() as context:
        from billing.services import auditing

        findings = [asdict(finding) for finding in auditing.audit(context)]

    def people() -> None:
        if not findings:
            output.say("every invariant holds")
            return
        output.table(findings, ("name", "detail"), empty="")

    output.answer({"ok": not findings, "findings": findings}, as_json=as_json, people=people)
    if findings:
        raise typer.Exit(1)
