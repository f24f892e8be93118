"""The console: words for who sees it for the first time."""

from datetime import timedelta

from billing.domain.people import Role
from tests.integration.console import browsing, hidden, person, text_of
from tests.integration.engine import Engine
from tests.integration.web import Web

REASON = {"reason": "new colleague"}


def test_an_unresolved_charge_is_said_beside_double_charges(engine: Engine, web: Web) -> None:
    """One line, which is not green."""
    customer, _subscription = engine.begun()
    engine.script("drop_after", customer)
    engine.tick()
    with browsing(web, person(engine)) as [browser]:
        page = browser.page(f"/customers/{customer}")
        assert "Charged twice: no; 1 charge is still unresolved." in text_of(page)
        assert "(unresolved charges: 1)" not in page
        assert '<p class="headline good"><strong>Charged twice' not in page
    engine.advance(timedelta(days=1))


def test_an_address_that_is_no_page_keeps_the_navigation(engine: Engine, web: Web) -> None:
    """Who is logged in is not told to log in, also at an address that takes a form only."""
    paths = {"/nothing": 404, f"/webhooks/{'0' * 32}/test": 405, "/static/none.css": 404}
    with browsing(web, person(engine)) as [browser]:
        for path, status in list(paths.items())[:2]:
            answer = browser.open(path)
            assert answer.status_code == status
            assert "Back to Now" in text_of(answer.text)
            assert "Log in" not in text_of(answer.text)


def test_a_person_who_was_added_is_named(engine: Engine, web: Web) -> None:
    """The form says what a role may do, and the page with the password for whom it is."""
    with browsing(web, person(engine, Role.ADMIN)) as [browser]:
        page = browser.page("/access/people/new")
        assert "viewer: sees everything, changes nothing" in text_of(page)
        form = hidden(page) | REASON | {"name": "Sari", "role": "viewer"}
        assert "Added: Sari" in text_of(browser.send("/access/people/new", form).text)
        form = hidden(browser.page("/access/keys/new")) | REASON | {"name": "shop", "read": "yes"}
        assert "Added: shop" in text_of(browser.send("/access/keys/new", form).text)


def test_a_second_endpoint_with_the_same_address_warns(engine: Engine, web: Web) -> None:
    """The first one does not; the list marks both."""
    with browsing(web, person(engine, Role.ADMIN)) as [browser]:
        warned = []
        for _ in range(2):
            form = hidden(browser.page("/webhooks/new")) | REASON
            answer = browser.send("/webhooks/new", form | {"url": "https://shop.example/hook"})
            assert "Added: https://shop.example/hook" in text_of(answer.text)
            warned.append("this receiver is told of events twice" in text_of(answer.text))
        assert warned == [False, True]
        assert text_of(browser.page("/webhooks")).count("same address as another") == 2
