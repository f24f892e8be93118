"""`billing stop-charging` and `billing start-charging`: the kill switch."""

from datetime import datetime

from billing.cli import arguments, engine, options, output

STOP = options.example('billing stop-charging --reason "double charges reported"')
START = options.example('billing start-charging --reason "all clear"')


def stop_charging(reason: options.Reason = None, *, as_json: options.Json = False) -> None:
    """Send no new charge from this moment on; everything else goes on."""
    by = arguments.operator(reason)
    with engine.engine() as context:
        from billing.services.operating import operations

        done = operations.stop_charging(context, by)
    words = "charging is stopped"
    if done["already"]:
        since = output.written("at", datetime.fromisoformat(done["stopped_at"]))
        who = done["stopped_by"] or "somebody"
        words += (
            f" already, since {since}, by {who} ({done['stopped_reason'] or 'no reason given'})"
        )
    words += "; again with: billing start-charging"
    output.answer(done, as_json=as_json, people=lambda: output.say(words))


def start_charging(reason: options.Reason = None, *, as_json: options.Json = False) -> None:
    """Charge again what has become due, at the gateway that the settings name.

    A copy of a database that belongs to another gateway charges nothing until this is said.
    """
    by = arguments.operator(reason)
    with engine.engine() as context:
        from billing.services.operating import operations

        done = operations.start_charging(context, by)
    words = "charging was on already; it goes on" if done["already"] else "charging goes on"
    output.answer(done, as_json=as_json, people=lambda: output.say(words))
