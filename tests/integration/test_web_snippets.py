"""What docs/integrate.md shows in Node, PHP and Go works as it stands, where they are installed."""

import re
import subprocess
from base64 import b64encode
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from standardwebhooks.webhooks import Webhook

from billing.clock import real_now
from billing.local.servers import free_port
from tests.integration.engine import Engine
from tests.integration.hooked import create, rows, tick
from tests.integration.test_web_pages import PAGE, confirmed
from tests.integration.web import Web
from tests.runtimes import environment, runtime
from tests.waits import wait_until

STORIES = {
    "node": ("cust-2", "", ["shop.mjs"]),
    "php": ("cust-3", "curl", ["shop.php"]),
    "go": ("cust-4", "", ["run", "shop.go"]),
}


def shown(kind: str, language: str) -> str:
    """The one block of the page with this mark."""
    [block] = re.findall(
        rf"<!-- {kind}: {language} -->\n```\w+\n(.*?)```", PAGE.read_text(), re.DOTALL
    )
    return str(block)


@pytest.mark.parametrize("language", STORIES)
def test_the_first_integration_works_in_other_languages(
    engine: Engine, web: Web, tmp_path: Path, language: str
) -> None:
    """The program prints the link and the subscription, which is paid after the customer's yes."""
    customer, extension, words = STORIES[language]
    program = runtime(language, needs=extension)
    (tmp_path / words[-1]).write_text(shown("story", language))
    engine.gateway.control("PUT", f"wallets/{customer}", {"cash": 1_000_000})
    settings = environment(tmp_path, API=web.url, KEY=str(web.client("write").key))

    for _ in range(2):  # a repeated run repeats its keys, and makes nothing twice
        done = subprocess.run(
            [program, *words], cwd=tmp_path, env=settings, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        url, subscription = done.stdout.split()

    assert url.startswith("http")
    confirmed(engine, customer)
    found = web.client("read").ok("GET", f"/v1/subscriptions/{subscription}")
    assert [invoice["status"] for invoice in found["invoices"]] == ["paid"]
    assert engine.counts()["subscriptions"] == 1


@pytest.mark.parametrize("language", STORIES)
def test_a_refusal_is_shown_by_every_program(web: Web, tmp_path: Path, language: str) -> None:
    """Type, detail and request id reach the person who runs it."""
    _, extension, words = STORIES[language]
    program = runtime(language, needs=extension)
    (tmp_path / words[-1]).write_text(shown("story", language))

    done = subprocess.run(
        [program, *words], cwd=tmp_path, env=environment(tmp_path, API=web.url, KEY="obk_wrong"),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert done.returncode != 0
    assert "unauthorized: send a valid key" in done.stdout + done.stderr


def refused(secret: str) -> list[dict[str, str]]:
    """Headers that do not sign `{}`: another secret, another body, too old, and unreadable."""
    now = real_now()
    other = "whsec_" + b64encode(b"x" * 24).decode()
    cases = [(other, now, "{}"), (secret, now, "{ }"), (secret, now - timedelta(hours=1), "{}")]
    signed = [
        (at, Webhook(using).sign(msg_id="msg_1", timestamp=at, data=body))
        for using, at, body in cases
    ]
    return [
        {"webhook-id": "msg_1", "webhook-timestamp": at, "webhook-signature": signature}
        for at, signature in [
            *((str(int(at.timestamp())), signature) for at, signature in signed),
            (str(int(now.timestamp())), "v1 v2,x v1, v1,?"),
        ]
    ]


def test_the_receiver_in_node_takes_what_is_signed(hooked: Engine, tmp_path: Path) -> None:
    """Real deliveries are accepted; a forged, an old and a changed one are not."""
    program, port = runtime("node"), free_port()
    endpoint, secret = create(hooked, f"http://127.0.0.1:{port}/", "invoice.paid")
    (tmp_path / "hook.mjs").write_text(shown("receiver", "node"))
    settings = environment(tmp_path, SECRET=secret, PORT=str(port), HOST="127.0.0.1")
    url = f"http://127.0.0.1:{port}/"

    def answers() -> bool:
        try:
            return (
                requests.post(url, data=b"{}", timeout=5).status_code == 400
            )  # it has no signature
        except requests.ConnectionError:
            return False

    with subprocess.Popen(
        [program, "hook.mjs"], cwd=tmp_path, env=settings, stdout=subprocess.PIPE, text=True
    ) as receiver:
        try:
            wait_until(answers, "the receiver answers", pause_seconds=0.05)
            _, subscription = hooked.begun()
            hooked.run()
            tick(hooked)
            for headers in refused(secret):
                assert requests.post(url, data=b"{}", headers=headers, timeout=5).status_code == 400
        finally:
            receiver.terminate()
        said, _ = receiver.communicate(timeout=20)

    assert {row["status"] for row in rows(hooked, endpoint)} == {"succeeded"}
    [invoice] = hooked.invoices(subscription)
    assert said.split() == ["invoice.paid", str(invoice["id"])]
