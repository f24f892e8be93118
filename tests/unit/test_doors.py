"""Flower's request filter: which requests are accepted before any other check."""

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from workers.doors import check_logins, why_refused

HOST = "127.0.0.1:5555"
NAMES = frozenset({"flower.example"})
JSON = {"Content-Type": "application/json; charset=utf-8"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
OWN = {"Origin": f"http://{HOST}", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
LINK = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
APPLY = "/api/task/async-apply/admin.refund_invoice"

LET_IN = [
    ("GET", "/", {}),
    ("GET", "/", {"Host": "localhost:5555"}),
    ("GET", "/", {"Host": "[::1]:5555"}),
    ("GET", "/", {"Host": "127.0.0.1"}),
    ("GET", "/tasks", LINK),
    ("GET", "/api/tasks", OWN),
    ("POST", APPLY, JSON),
    ("POST", APPLY, JSON | OWN),
    ("POST", APPLY, JSON | {"Host": "flower.example", "Origin": "https://flower.example"}),
    ("POST", APPLY, JSON | {"Origin": "https://flower.example"}),
    ("POST", "/tasks/datatable", FORM | OWN),
]
KEPT_OUT = [
    ("GET", "/", {"Host": "evil.example:5555"}, 403),
    ("GET", "/", {"Host": "127.0.0.1.evil.example"}, 403),
    ("GET", "/", {"Host": "evil.example:127.0.0.1"}, 403),
    ("GET", "/", {"Host": "["}, 403),
    ("GET", "/", {"Host": "0.0.0.0:5555"}, 403),
    ("GET", "/api/tasks", {"Origin": "https://evil.example"}, 403),
    ("GET", "/api/tasks", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}, 403),
    ("GET", "/api/tasks", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}, 403),
    ("POST", APPLY, JSON | LINK, 403),
    ("POST", APPLY, JSON | {"Origin": "null"}, 403),
    ("POST", APPLY, JSON | {"Origin": "http://127.0.0.1:3000"}, 403),
    ("POST", APPLY, JSON | {"Origin": "http://localhost:5555"}, 403),
    ("POST", APPLY, JSON | {"Origin": "http://["}, 403),
    ("POST", APPLY, JSON | {"Origin": f"http://{HOST}@evil.example"}, 403),
    ("POST", APPLY, JSON | {"Host": "flower.example.evil.example"}, 403),
    ("POST", APPLY, OWN, 415),
    ("POST", APPLY, FORM | OWN, 415),
    ("POST", APPLY, OWN | {"Content-Type": "text/plain; application/json"}, 415),
    ("POST", APPLY, OWN | {"Content-Type": "multipart/form-data"}, 415),
    ("PUT", APPLY, OWN, 415),
    ("DELETE", APPLY, OWN, 415),
]


def request(method: str, path: str, headers: dict[str, str]) -> HTTPServerRequest:
    """A request as Tornado gives it to an application."""
    line = RequestStartLine(method, path, "HTTP/1.1")
    given = HTTPHeaders({"Host": HOST} | headers)
    return HTTPServerRequest(start_line=line, headers=given)


@pytest.mark.parametrize(("method", "path", "headers"), LET_IN)
def test_programs_and_flowers_own_pages_are_let_in(
    method: str, path: str, headers: dict[str, str]
) -> None:
    """Direct requests by this machine's names or an allowed one pass to the password check."""
    assert why_refused(request(method, path, headers), NAMES) is None


@pytest.mark.parametrize(("method", "path", "headers", "status"), KEPT_OUT)
def test_a_browser_request_from_a_foreign_page_is_refused(
    method: str, path: str, headers: dict[str, str], status: int
) -> None:
    """It is refused for its origin, its host name, or its content type, in one line."""
    refused = why_refused(request(method, path, headers), NAMES)

    assert refused is not None
    assert refused[0] == status
    assert len(refused[1].splitlines()) == 1


@pytest.mark.parametrize("logins", [[], [""], ["operator:"], [":secret"], ["a:b", ""]])
def test_a_login_that_lets_strangers_in_ends_the_start(logins: list[str]) -> None:
    """One line describes the form of a login."""
    with pytest.raises(SystemExit, match="FLOWER_BASIC_AUTH must be name:password"):
        check_logins(logins)
