"""`billing listen`: receive webhooks on this machine and print them, while a shop is developed."""

import json
import signal
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Annotated

import typer

from billing.cli import arguments, engine, options, output
from billing.domain.errors import NotConfigured

EXAMPLE = options.example("billing listen", "billing listen --event-type 'invoice.*' --json")
BODY_MAX = 1_000_000


def listen(
    event_type: Annotated[
        list[str] | None,
        typer.Option(
            "--event-type", metavar="TYPE", help="Only this type, or invoice.*; may be repeated."
        ),
    ] = None,
    port: Annotated[
        str, typer.Option("--port", metavar="N", help="Port of the receiver.")
    ] = "5560",
    who: options.By = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Receive webhooks here and print them until Ctrl-C; the endpoint is deleted at the end.

    For development: BILLING_WEBHOOK_ALLOWED_HOSTS must allow 127.0.0.1, as it does under
    `billing up`.
    """
    by, number = arguments.operator(None, who), arguments.whole(port, "--port", 65_535)
    with engine.engine() as context:
        from billing.services.webhooks import endpoints

        secrets: list[str] = []
        with _receiver(number, secrets, as_json=as_json) as server:
            made = endpoints.create(
                context, f"http://127.0.0.1:{number}/", by, event_types=event_type or (),
                description="billing listen",
            )  # fmt: skip
            secrets.append(made.secret)
            output.say(f"listening as {made.endpoint.id}; secret {made.secret}; Ctrl-C ends it")
            signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended like Ctrl-C
            try:
                server.serve_forever(poll_interval=0.2)
            except KeyboardInterrupt:
                pass
            finally:
                endpoints.delete(context, made.endpoint.id, by)


def _receiver(port: int, secrets: list[str], *, as_json: bool) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "0")
            body = self.rfile.read(min(int(length), BODY_MAX) if length.isdecimal() else 0)
            code = 200 if _is_signed(body, dict(self.headers.items()), secrets) else 401
            self.send_response(code)
            self.send_header("Content-Length", "0")
            self.end_headers()
            _print(body, code, self.headers.get("webhook-id", ""), as_json=as_json)

        log_message: Callable[..., None] = staticmethod(lambda *_: None)

    try:
        return ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise NotConfigured(f"port {port} cannot be used: {error.strerror}; use --port") from None


def _is_signed(body: bytes, headers: dict[str, str], secrets: list[str]) -> bool:
    from standardwebhooks.webhooks import Webhook, WebhookVerificationError

    lowered = {name.lower(): value for name, value in headers.items()}
    for secret in secrets:
        try:
            Webhook(secret).verify(body, lowered)
        except WebhookVerificationError:
            continue
        return True
    return False


def _print(body: bytes, code: int, webhook_id: str, *, as_json: bool) -> None:
    if code != 200:
        output.say(f"{code} {webhook_id}: not signed with the secret of this endpoint")
        return
    found = json.loads(body)
    if as_json:
        typer.echo(json.dumps(found))
        return
    data = found["data"]
    about = data.get("subscription") or data.get("customer") or ""
    output.say(f"{found['timestamp']}  {found['type']:<28} {about}  [{code}] {webhook_id}")
