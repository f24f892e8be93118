"""`billing person`: the people who may log in to the console."""

import sys
from typing import Annotated

import typer

from billing.cli import arguments, engine, options, output
from billing.domain.errors import InvalidValue

app = options.noun("People: who may log in to the console, and what for.")
COLUMNS = ("name", "role", "has_second_factor", "created_at", "logged_in_at", "disabled_at")
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name: the actor of the events.")]
RoleOption = Annotated[
    str, typer.Option("--role", metavar="ROLE", help="viewer, support, operator, finance or admin.")
]
Generate = Annotated[
    bool, typer.Option("--generate", help="Generate a password and show it, once.")
]


@app.command(epilog=options.example("billing person create ani --role operator --generate"))
def create(
    name: Name,
    role: RoleOption,
    reason: options.Reason = None,
    who: options.By = None,
    *,
    generate: Generate = False,
    as_json: options.Json = False,
) -> None:
    """Create a person; the password is typed twice, or generated and shown once."""
    by = arguments.operator(reason, who)
    with engine.writing() as context:
        from billing.services.operating import people

        password = people.generated() if generate else _typed()
        made = people.create(context, name, role, password, by)
        shown = people.NewPassword(made, password) if generate else made

    def said() -> None:
        output.say(f"person {name} may log in to the console as {role}")
        _show(password, generate=generate)

    output.answer(shown, as_json=as_json, people=said)


@app.command("list", epilog=options.example("billing person list"))
def list_(*, as_json: options.Json = False) -> None:
    """List people, those who may log in first."""
    with engine.writing() as context:
        from billing.services.operating import people

        found = people.listed(context)
    empty = "no people yet; create one: billing person create ani --role admin"
    output.answer(found, as_json=as_json, people=lambda: output.table(found, COLUMNS, empty=empty))


@app.command(epilog=options.example("billing person password ani --generate"))
def password(
    name: Name,
    reason: options.Reason = None,
    who: options.By = None,
    *,
    generate: Generate = False,
    as_json: options.Json = False,
) -> None:
    """Set a new password, typed twice or generated; the person's sessions end."""
    by = arguments.operator(reason, who)
    with engine.writing() as context:
        from billing.services.operating import people

        wanted = people.generated() if generate else _typed()
        changed = people.set_password(context, name, wanted, by)
        shown = people.NewPassword(changed, wanted) if generate else changed

    def said() -> None:
        output.say(f"{name} has a new password, and must log in again")
        _show(wanted, generate=generate)

    output.answer(shown, as_json=as_json, people=said)


@app.command("second-factor", epilog=options.example("billing person second-factor ani"))
def second_factor(
    name: Name,
    reason: options.Reason = None,
    who: options.By = None,
    *,
    remove: Annotated[
        bool, typer.Option("--remove", help="Let the person log in with the password only.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Ask this person for a code of an app at each log-in; shows the app's secret, once.

    A new second factor replaces the one before. The person's sessions end.
    """
    by = arguments.operator(reason, who)
    with engine.writing() as context:
        from billing.services.operating import people

        if remove:
            changed = people.remove_second_factor(context, name, by)
            words = f"{changed.name} logs in with the password only"
            output.answer(changed, as_json=as_json, people=lambda: output.say(words))
            return
        made = people.set_second_factor(context, name, by)

    def said() -> None:
        output.say(f"{name} logs in with a code of an app as well; enter this secret there:")
        output.say(made.secret)
        output.say(f"or open this link on the phone, or show it as a QR code: {made.address}")
        output.say("store it now: it is not shown again")

    output.answer(made, as_json=as_json, people=said)


@app.command(epilog=options.example("billing person role ani --role finance"))
def role(
    name: Name,
    wanted: RoleOption,
    reason: options.Reason = None,
    who: options.By = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Give a person another role; the person's sessions end."""
    by = arguments.operator(reason, who)
    with engine.writing() as context:
        from billing.services.operating import people

        found = people.set_role(context, name, wanted, by)
    words = f"{found.name} has the role {found.role}, and must log in again"
    output.answer(found, as_json=as_json, people=lambda: output.say(words))


@app.command(epilog=options.example('billing person disable ani --reason "left"'))
def disable(
    name: Name,
    reason: options.Reason = None,
    who: options.By = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Let a person log in no more; the person's sessions end."""
    by = arguments.operator(reason, who)
    with engine.writing() as context:
        from billing.services.operating import people

        found = people.disable(context, name, by)
    words = f"{found.name} is disabled, and is logged in nowhere"
    output.answer(found, as_json=as_json, people=lambda: output.say(words))


@app.command(epilog=options.example("billing person enable ani"))
def enable(
    name: Name,
    reason: options.Reason = None,
    who: options.By = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Let a disabled person log in again, with the password of before."""
    by = arguments.operator(reason, who)
    with engine.writing() as context:
        from billing.services.operating import people

        found = people.enable(context, name, by)
    output.answer(
        found, as_json=as_json, people=lambda: output.say(f"{found.name} may log in again")
    )


def _typed() -> str:
    """Ask for a password twice on the terminal, or read it as one line of a pipe.

    Never an argument: arguments are in the shell's history, and every user can list them.
    """
    if not sys.stdin.isatty():
        return sys.stdin.readline().removesuffix("\n").removesuffix("\r")
    from getpass import getpass

    first = getpass("Password: ")
    if first != getpass("The same password again: "):
        raise InvalidValue("the two passwords differ; nothing was changed")
    return first


def _show(password: str, *, generate: bool) -> None:
    if generate:
        output.say(password)
        output.say("store this password now: it is not shown again")
