"""A person's browser without JavaScript: it keeps cookies, and sends forms as pages give them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import unescape

import requests

from billing.domain.events import OPERATOR
from billing.domain.people import Role
from billing.services.money import refunding
from billing.services.operating import people
from billing.web.console.routes import Page
from tests.integration.engine import Engine
from tests.integration.web import Web

PASSWORD = "correct horse battery"
TIMEOUT = 20
_TOKEN = re.compile(r'name="token" value="([0-9a-f]*)"')


def person(engine: Engine, role: Role = Role.ADMIN, name: str | None = None) -> str:
    """Create a person with the usual password; return the name."""
    name = name or f"Ani {role}"
    people.create(engine.context, name, role, PASSWORD, OPERATOR)
    return name


def ids_of_rows(engine: Engine) -> dict[str, object]:
    """Make a customer with a paid invoice that was refunded in part; return the ids of its rows."""
    customer, subscription = engine.begun(amount=50_000)
    engine.run()
    [charge] = engine.charges(subscription)
    refund = refunding.refund_invoice(engine.context, charge["invoice_id"], 10_000, OPERATOR)
    engine.run()
    return {
        "customer_id": customer, "subscription_id": subscription, "charge_id": charge["id"],
        "invoice_id": charge["invoice_id"], "refund_id": refund["refund"],
    }  # fmt: skip


def path_of(page: Page, ids: Mapping[str, object]) -> str:
    """Fill a page's path with ids; one that is not given is `x`."""
    return re.sub(r"\{(\w+)(?::path)?\}", lambda found: str(ids.get(found[1], "x")), page.path)


class Browser:
    """A browser that opens pages of the console, and sends forms from them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.headers["Accept"] = "text/html"
        self.token = ""

    def open(self, path: str, **headers: str) -> requests.Response:
        """Open a page, without following a redirect."""
        answer = self.session.get(
            f"{self.url}/console{path}", headers=headers, allow_redirects=False, timeout=TIMEOUT
        )
        self._keep(answer)
        return answer

    def page(self, path: str) -> str:
        """Open a page that must be there, and return what it says."""
        answer = self.open(path)
        assert answer.status_code == 200, (answer.status_code, answer.headers.get("Location"))
        return answer.text

    def send(self, path: str, form: dict[str, str], **headers: str) -> requests.Response:
        """Send a form as a page of the console does."""
        sent = {"Origin": self.url, "Sec-Fetch-Site": "same-origin"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        answer = self.session.post(
            f"{self.url}/console{path}", data={"token": self.token} | form,
            headers={name: value for name, value in sent.items() if value},
            allow_redirects=False, timeout=TIMEOUT,
        )  # fmt: skip
        self._keep(answer)
        return answer

    def log_in(self, name: str, password: str = PASSWORD) -> requests.Response:
        """Log in, and open the first page for its token."""
        answer = self.send("/login", {"name": name, "password": password})
        if answer.status_code == 303:
            self.page("/now")
        return answer

    def _keep(self, answer: requests.Response) -> None:
        if found := _TOKEN.search(answer.text):
            self.token = found[1]

    def close(self) -> None:
        """Close the connections."""
        self.session.close()


@contextmanager
def browsing(web: Web, *names: str) -> Iterator[Sequence[Browser]]:
    """Give browsers: one for each name, logged in; for an empty name a stranger's."""
    browsers = [Browser(web.url) for _ in names]
    try:
        for browser, name in zip(browsers, names, strict=True):
            if name:
                assert browser.log_in(name).status_code == 303
        yield browsers
    finally:
        for browser in browsers:
            browser.close()


def text_of(page: str) -> str:
    """What a page says, without its marks, on one line."""
    bare = re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL)
    return " ".join(unescape(bare).split())


def hidden(page: str) -> dict[str, str]:
    """The hidden fields of a page's own form, and nothing that a person wrote."""
    form = page.partition("<main")[2]
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form))


def confirmed(browser: Browser, path: str, **written: str) -> requests.Response:
    """Send an action's form, and confirm its preview."""
    answer = browser.send(path, written)
    assert answer.status_code == 200, text_of(answer.text)
    return browser.send(path, written | hidden(answer.text))
