"""`billing key`: the keys of the HTTP interface."""

from typing import Annotated

import typer

from billing.cli import arguments, engine, options, output

app = options.noun("API keys: who may call the HTTP interface, and what for.")
COLUMNS = ("id", "name", "prefix", "scopes", "created_at", "expires_at", "last_used_at",
           "revoked_at")  # fmt: skip


@app.command(epilog=options.example("billing key create shop --scope read --scope write"))
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name: the actor of its events.")],
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="SCOPE", help="read, write, refund or admin; repeatable."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="DURATION", help='Valid for: "90 days".')
    ] = None,
    reason: options.Reason = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Create a key and show it, once."""
    by = arguments.operator(reason)
    with engine.writing() as context:
        from billing.services.operating import api_keys

        until = None if expires is None else arguments.later(context.clock.now(), expires)
        made = api_keys.create(context, name, scope or [], by, until)

    def people() -> None:
        output.say(made.key)
        output.say("store this key now: it is not shown again")

    output.answer(made, as_json=as_json, people=people)


@app.command("list", epilog=options.example("billing key list"))
def list_(*, as_json: options.Json = False) -> None:
    """List keys, valid ones first."""
    with engine.writing() as context:
        from billing.services.operating import api_keys

        found = api_keys.listed(context)
    empty = "no keys yet; create one: billing key create shop --scope write"
    output.answer(found, as_json=as_json, people=lambda: output.table(found, COLUMNS, empty=empty))


@app.command(epilog=options.example("billing key revoke shop"))
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name or id of the key.")],
    reason: options.Reason = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Revoke a key: it is refused from now on."""
    by = arguments.operator(reason)
    with engine.writing() as context:
        from billing.services.operating import api_keys

        found = api_keys.revoke(context, name, by)
    output.answer(found, as_json=as_json, people=lambda: output.say(f"key {found.name} is revoked"))
