"""`billing stop-charging` and `billing start-charging`: the kill switch."""

from datetime import datetime

from billing.cli import arguments, engine, options, output

STOP = options.example('billing stop-charging --reason "double charges reported"')
START = options.example('billing start-charging --reason "all clear"')


def stop_charging(
    reason: options.Reason = None, who: options.By = None, *, as_json: options.Json = False
) -> None:
    """Stop sending new charges immediately; everything else continues."""
    by = arguments.operator(reason, who)
    with engine.writing() as context:
        from billing.services.operating import kill_switch

        done = kill_switch.stop_charging(context, by)
    words = "charging is stopped"
    if done["already"]:
        since = output.written("at", datetime.fromisoformat(done["stopped_at"]))
        who = done["stopped_by"] or "somebody"
        words += (
            f" already, since {since}, by {who} ({done['stopped_reason'] or 'no reason given'})"
        )
    words += "; start again with: billing start-charging"
    output.answer(done, as_json=as_json, people=lambda: output.say(words))


def start_charging(
    reason: options.Reason = None, who: options.By = None, *, as_json: options.Json = False
) -> None:
    """Start charging what is due, at the gateway named in the settings.

    A database copied from another gateway charges nothing until this command is run.
    """
    by = arguments.operator(reason, who)
    with engine.engine() as context:
        from billing.services.operating import kill_switch

        done = kill_switch.start_charging(context, by)
    words = "charging was not stopped" if done["already"] else "charging is started"
    output.answer(done, as_json=as_json, people=lambda: output.say(words))
