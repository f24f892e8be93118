"""The console: whether the receivers of events hear us, and what a person can do about it."""

import json
import re
from collections.abc import Iterator
from html import unescape
from uuid import UUID

import pytest

from billing.domain.events import OPERATOR
from billing.domain.people import Role
from billing.domain.webhooks import DeliveryStatus
from billing.sandbox.process import SandboxProcess
from billing.services.reading import webhook_pages
from billing.services.webhooks import endpoints
from billing.services.webhooks.endpoints import Changes
from billing.web.console.pages import webhooks as pages
from tests.integration.console import Browser, browsing, hidden, person, text_of
from tests.integration.engine import Engine, running
from tests.integration.hooked import create, later, rows, tick
from tests.integration.kept import Kept
from tests.integration.receiver import Receiver, receiving, status
from tests.integration.web import Web, serving
from tests.servers import Servers

HOSTILE = "<script>alert(1)</script>"
REASON = {"reason": "the shop asked"}
SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]+")


@pytest.fixture
def shop(emptied: Kept, gateway: SandboxProcess, shared_servers: Servers) -> Iterator[Web]:
    """The console of an engine that may send to this machine."""
    with (
        running(emptied, gateway, webhook_allowed_hosts="127.0.0.1") as engine,
        serving(engine, shared_servers.own_redis()) as made,
    ):
        yield made


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver."""
    with receiving() as made:
        yield made


def ids(page: str) -> set[str]:
    """The deliveries that a page lists."""
    return set(re.findall(r'href="/console/webhooks/deliveries/([0-9a-f-]{36})"', page))


def stored(engine: Engine, endpoint: UUID, *statuses: str) -> set[str]:
    """The deliveries of an endpoint, by their status."""
    wanted = statuses or tuple(DeliveryStatus)
    return {str(row["id"]) for row in rows(engine, endpoint) if row["status"] in wanted}


def sent(browser: Browser, path: str, **written: str) -> tuple[int, str]:
    """Send the form of an order; the status, and the page or the address of the answer."""
    form = {name: unescape(value) for name, value in hidden(browser.page(path)).items()}
    answer = browser.send(path, form | REASON | written)
    return answer.status_code, answer.headers.get("Location") or answer.text


def test_an_added_endpoint_shows_its_secret_once(shop: Web, receiver: Receiver) -> None:
    """The secret signs; a second sending of the form acts no second time, and shows no secret."""
    engine = shop.engine
    with browsing(shop, person(engine, Role.ADMIN, "Ani")) as [browser]:
        form = hidden(browser.page("/webhooks/new")) | REASON | {
            "url": receiver.url, "event_types": "invoice.paid, plan.*", "description": HOSTILE,
        }  # fmt: skip
        made = browser.send("/webhooks/new", form)
        assert made.status_code == 200
        assert made.headers["Cache-Control"] == "no-store"
        [secret] = set(SECRET.findall(unescape(made.text)))
        again = browser.send("/webhooks/new", form)
        assert "was sent before" in text_of(again.text)
        [found] = endpoints.every(engine.context.database)
        engine.plan()
        tick(engine)
        receiver.received[0].verify(secret)

        for path in ("/webhooks", f"/webhooks/{found.id}", f"/webhooks/{found.id}/rotate"):
            page = browser.page(path)
            assert "whsec_" not in page
            assert "<script>alert" not in page
    assert (found.event_types, found.description) == (["invoice.paid", "plan.*"], HOSTILE)
    [event] = engine.told("webhook.created")
    assert (event["actor"], event["reason"]) == ("Ani", REASON["reason"])


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"url": "http://shop.example/"}, "https"),
        ({"url": "https://10.0.0.1/"}, "wrong"),
        ({"event_types": "invoice.payed"}, "did you mean"),
        ({"description": "x" * 201}, "at most 200"),
        ({"reason": " "}, "the reason must not be empty"),
    ],
)
def test_a_bad_field_brings_the_form_back(web: Web, written: dict[str, str], said: str) -> None:
    """With one line at the field and what was written; nothing is stored."""
    with browsing(web, person(web.engine)) as [browser]:
        wanted = {"url": "https://shop.example/hook", "event_types": "charge.*"} | written
        code, page = sent(browser, "/webhooks/new", **wanted)
    assert code == 422
    assert page.count('role="alert"') == 1
    assert said in unescape(page)
    assert "charge.*" in page or "event_types" in written
    assert endpoints.every(web.engine.context.database) == []


def test_every_number_is_that_of_the_rows(
    shop: Web, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each count leads to exactly its deliveries, over all pages; the answer comes first."""
    monkeypatch.setattr(pages, "PAGE", 2)
    engine = shop.engine
    good, _ = create(engine, receiver.url)
    bad, _ = create(engine, f"{receiver.url}/deaf", "plan.created")
    receiver.answer = lambda handler: status(500 if handler.path == "/deaf" else 200)(handler)
    for code in ("P", "Q", "R", "S"):
        engine.plan(code)
    tick(engine)
    engine.execute("UPDATE webhook_deliveries SET status = 'failed', next_attempt_at = NULL,"
                   " settled_at = now(), body = NULL WHERE id = (SELECT id FROM webhook_deliveries"
                   " WHERE endpoint_id = :id ORDER BY event_id LIMIT 1)", id=bad)  # fmt: skip
    with browsing(shop, person(engine, Role.VIEWER)) as [browser]:
        page = browser.page("/webhooks")
        assert "1 of 2 endpoints do not hear us." in text_of(page)
        for wanted in ("pending", "failed"):
            link = rf'href="/console(/webhooks/{bad}\?status={wanted})">(\d+)<'
            [(path, count)] = re.findall(link, page)
            assert int(count) == len(stored(engine, bad, wanted))
            assert walked(browser, path) == stored(engine, bad, wanted)
        assert "status=" not in page.partition(str(good))[2].partition("</tr>")[0]

        page = browser.page(f"/webhooks/{good}")
        assert "Send a test" not in page
        last = engine.one("SELECT max(settled_at) FROM webhook_deliveries WHERE endpoint_id = :id",
                          id=good)  # fmt: skip
        shown = webhook_pages.overview(engine.context).endpoints[0].last_succeeded_at
        assert shown is not None
        assert abs((last - shown).total_seconds()) < 1
        assert "It hears us: it accepted an event" in text_of(page)
        counts = dict(re.findall(r"status=(\w+)\">\w+ (\d+)</a>", page))
        assert counts == {each: str(len(stored(engine, good, each))) for each in DeliveryStatus}
        assert walked(browser, f"/webhooks/{good}") == stored(engine, good)
        said = text_of(browser.page(f"/webhooks/{bad}"))
        assert "It does not hear us" in said
        assert "The last answer: HTTP 500." in said
        assert f'href="/console/webhooks/{bad}"' in browser.page("/attention")
        for wrong in ("?status=lost", "?after=x", "?status=failed&after=x"):
            assert browser.open(f"/webhooks/{good}{wrong}").status_code == 422


def walked(browser: Browser, path: str) -> set[str]:
    """The deliveries of a list over all its pages; none comes twice."""
    found: list[str] = []
    while path:
        page = browser.page(path)
        found += ids(page)
        link = re.search(r'rel="next" href="/console([^"]*)"', page)
        path = unescape(link[1]) if link else ""
    assert len(set(found)) == len(found)
    return set(found)


def test_a_delivery_shows_what_was_sent_and_answered(shop: Web, receiver: Receiver) -> None:
    """The payload is that of the receiver, with masked personal data; and the stored answer."""
    engine = shop.engine
    endpoint, _ = create(engine, receiver.url, "customer.created")
    engine.customer()
    receiver.answer = status(503)
    tick(engine)
    [row] = rows(engine, endpoint)
    with browsing(shop, person(engine, Role.SUPPORT)) as [browser]:
        page = browser.page(f"/webhooks/deliveries/{row['id']}")
        said = text_of(page)
        assert "HTTP 503" in said
        assert "It waits for its next attempt" in said
        assert "gets one attempt at a time" in said
        assert "What the last attempt sent" in said
        assert payload(page) == receiver.received[0].document
        assert receiver.received[0].webhook_id in page
        assert "/resend" not in page

        receiver.answer = status(200)
        later(engine)
        tick(engine)
        page = browser.page(f"/webhooks/deliveries/{row['id']}")
        assert "The receiver accepted it at" in text_of(page)
        assert payload(page) == receiver.received[0].document
        phone = engine.one("SELECT phone FROM customers LIMIT 1")
        assert not phone or phone not in page


def payload(page: str) -> object:
    """The payload that a page shows."""
    found = re.search(r"<pre[^>]*>(.*?)</pre>", page, re.DOTALL)
    assert found
    return json.loads(unescape(found[1]))


def test_a_delivery_is_sent_again_once(shop: Web, receiver: Receiver) -> None:
    """A double click acts once; a delivery that changed since is not sent again."""
    engine = shop.engine
    endpoint, _ = create(engine, receiver.url, "plan.created")
    engine.plan()
    tick(engine)
    [row] = rows(engine, endpoint)
    path = f"/webhooks/deliveries/{row['id']}/resend"
    with browsing(shop, person(engine, Role.OPERATOR, "Budi")) as [browser]:
        form = hidden(browser.page(path)) | REASON
        for _ in range(2):
            assert browser.send(path, form).headers["Location"].endswith("?done=resend")
        tick(engine)
        assert len(receiver.received) == 2
        [event] = engine.told("webhook.resend_requested")
        assert (event["actor"], event["reason"]) == ("Budi", REASON["reason"])

        form = hidden(browser.page(path)) | REASON
        engine.execute("UPDATE webhook_deliveries SET status = 'failed'")
        changed = browser.send(path, form)
        assert changed.status_code == 409
        assert "Something has changed" in text_of(changed.text)
        endpoints.update(engine.context, endpoint, Changes(enabled=False), OPERATOR)
        refused = browser.send(path, hidden(browser.page(path)) | REASON)
        assert refused.status_code == 409
        assert "is disabled" in text_of(refused.text)
    assert len(engine.told("webhook.resend_requested")) == 1


def test_a_replay_is_counted_before_the_button(shop: Web, receiver: Receiver) -> None:
    """Exactly the counted events are sent again, once; nothing before, and nothing later."""
    engine = shop.engine
    endpoint, _ = create(engine, receiver.url, "plan.created")
    for code in ("P", "Q", "R"):
        engine.plan(code)
    tick(engine)
    path = f"/webhooks/{endpoint}/replay"
    with browsing(shop, person(engine, Role.OPERATOR)) as [browser]:
        for wrong in ({"after": "x"}, {"after": "999999"}, {"after": "0", "last": "0"}):
            code, page = sent(browser, path, **wrong)
            assert code == 422, wrong
            assert page.count('role="alert"') == 1
        form = hidden(browser.page(path)) | REASON | {"after": "0"}
        counted = browser.send(path, form)
        assert re.search(r"Events 3 After position 0 Up to position \d+", text_of(counted.text))
        assert engine.told("webhook.replayed") == []
        confirmed = hidden(counted.text)
        engine.plan("later")
        for _ in range(2):
            assert browser.send(path, confirmed).status_code == 303
        [event] = engine.told("webhook.replayed")
        assert event["data"]["deliveries"] == 3
        assert event["reason"] == REASON["reason"]
        tick(engine)
        assert receiver.kinds() == ["plan.created"] * 7

        stale = hidden(browser.send(path, hidden(browser.page(path)) | form).text)
        endpoints.update(engine.context, endpoint, Changes(event_types=[]), OPERATOR)
        assert browser.send(path, stale | {"key": stale["key"]}).status_code == 409
    assert len(engine.told("webhook.replayed")) == 1


def test_an_admin_changes_rotates_disables_and_deletes(shop: Web, receiver: Receiver) -> None:
    """Each acts once with the reason; what another person changed since is not acted on."""
    engine = shop.engine
    endpoint, old = create(engine, receiver.url, "plan.created")
    path = f"/webhooks/{endpoint}"
    with browsing(shop, person(engine, Role.ADMIN, "Ani")) as [browser]:
        stale = {name: hidden(browser.page(f"{path}/{name}")) | REASON
                 for name in ("change", "rotate", "disable", "delete")}  # fmt: skip
        wanted = {"url": f"{receiver.url}/new", "event_types": "", "description": "the shop"}
        assert sent(browser, f"{path}/change", **wanted) == (303, f"/console{path}?done=change")
        assert sent(browser, f"{path}/change", **wanted)[0] == 422
        for name, form in stale.items():
            answer = browser.send(f"{path}/{name}", form | wanted)
            assert answer.status_code == 409, name
            assert "/new" in answer.text
        form = hidden(browser.page(f"{path}/rotate")) | REASON
        rotated = browser.send(f"{path}/rotate", form)
        [secret] = set(SECRET.findall(unescape(rotated.text)))
        assert secret != old
        assert not SECRET.search(browser.send(f"{path}/rotate", form).text)
        assert len(engine.told("webhook.secret_rotated")) == 1

        assert "It accepted the test: HTTP 200." in text_of(browser.send(f"{path}/test", {}).text)
        receiver.answer = status(410)
        refused = text_of(browser.send(f"{path}/test", {}).text)
        assert "It did not accept the test: HTTP 410" in refused
        receiver.answer = status(200)
        assert receiver.kinds() == ["webhook.test"] * 2
        engine.plan()
        tick(engine)
        assert {each.path for each in receiver.received} == {"/new"}
        receiver.received[-1].verify(secret)
        assert sent(browser, f"{path}/disable")[0] == 303
        assert "It hears nothing" in text_of(browser.page(path))
        assert "Every endpoint is disabled" in text_of(browser.page("/webhooks"))
        assert sent(browser, f"{path}/replay", after="0")[0] == 409
        assert sent(browser, f"{path}/enable")[0] == 303
        assert sent(browser, f"{path}/delete")[1] == "/console/webhooks?done=delete"
        assert browser.open(path).status_code == 404
        assert "There is no endpoint" in text_of(browser.page("/webhooks"))
    assert {event["actor"] for event in engine.told("webhook.deleted")} == {"Ani"}
