"""`billing up`: runs the local stack in the foreground, with a view of its work."""

import os
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from redis import Redis
from rich.console import Console
from rich.live import Live

from billing import bootstrap, config, logs
from billing.config import Settings
from billing.domain.escaping import escape
from billing.local import first_person, receiver
from billing.local.pretend import Pretend
from billing.local.seeds import Scenario
from billing.local.stack import FLOWER_PASSWORD, ORDER, Stack
from billing.local.view import KEY_COMMAND, PASSWORDS, Places, View
from billing.services.context import Context
from billing.services.reading import live_view
from billing.store import migrate

LOOK_SECONDS = 0.5


def run(*, plain: bool = False) -> None:
    """Start everything, show it until Ctrl-C or SIGTERM, and end everything again."""
    console = Console(highlight=False, markup=False)
    live = console.is_terminal and not plain

    def say(text: str) -> None:
        console.print(escape(text), soft_wrap=True)

    logs.configure(level="warning")
    try:
        with Stack(parts=ORDER, environment=_for_watching(), migrate=_migrate, say=say) as stack:
            context = bootstrap.build(stack.settings)
            places = Places(
                web=stack.web_url,
                flower=stack.flower_url,
                login=stack.flower_login.replace(":", " / ", 1),
                gateway=stack.sandbox_url or stack.settings.doku_base_url,
                logs=str(stack.logs),
                console=first_person.login(context, stack.home),
            )
            pretend = Pretend(stack.sandbox_url) if stack.sandbox_url else None
            scenario = Scenario(context, pretend) if pretend is not None else None
            receives = pretend is not None and receiver.connect(context, stack.sandbox_url, pretend)
            if scenario is not None and scenario.begin():
                say("the database was empty: added sample plans and customers")
            # Output that is no terminal may be a file that others read.
            where = f"user operator, password in {stack.home / FLOWER_PASSWORD}"
            kept = f"user {first_person.NAME}, password in {stack.home / first_person.PASSWORD}"
            say(f"console {places.web}/ ({kept})")
            say(f"API {places.web}/v1 (make a key: {KEY_COMMAND})")
            say(f"Flower {places.flower} ({where})")
            say(f"passwords: {PASSWORDS}")
            say(f"gateway {places.gateway} · logs {places.logs}")
            said = partial(receiver.seen, pretend) if pretend and receives else str
            _show(stack, context, scenario, View(console, places), said, live=live)
    except KeyboardInterrupt:
        say("stopped; the data are kept for the next start")


def _for_watching() -> dict[str, str]:
    """Return settings for fast ticks; the seeded customers are charged every half minute."""
    asked = config.load([Path(".env")])
    wanted = {"BILLING_TICK_SECONDS": "1"}
    if not asked.doku_client_id:
        wanted["BILLING_CUSTOMER_CHARGES_A_DAY_MAX"] = "100000"
    return {name: value for name, value in wanted.items() if name not in os.environ}


def _migrate(settings: Settings) -> None:
    migrate.upgrade(settings.database, pooler=settings.database_pooler)


def _show(
    stack: Stack,
    context: Context,
    scenario: Scenario | None,
    view: View,
    webhooks: Callable[[], str],
    *,
    live: bool,
) -> None:
    """Show everything until a signal ends it; the seeds are used with the sandbox only."""
    redis = Redis.from_url(stack.settings.redis, socket_timeout=5)
    screen = Live(console=view.console, auto_refresh=False, screen=False) if live else None
    with screen or nullcontext():
        while True:
            said = scenario.step() if scenario is not None else None
            seen = live_view.watch(context, view.last_event, limit=200)
            queues = {name: int(redis.llen(name)) for name in bootstrap.QUEUES}
            health: dict[str, str] = {item.name: item.state for item in stack.status()}
            if screen is not None:
                screen.update(view.picture(seen, queues, health, webhooks()), refresh=True)
            else:
                view.lines(seen, webhooks())
                if said:
                    stack.say(f"== {said}")
            stack.wait(LOOK_SECONDS)
