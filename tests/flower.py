"""Flower's HTTP, as a program with its password uses it."""

import json
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """The answer, with any status."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def ask(
    url: str, login: str, body: object = None, method: str | None = None, **headers: str
) -> Answer:
    """Ask Flower; a body is sent as JSON, an underscore in a header's name is a dash."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if login:
        given["Authorization"] = f"Basic {b64encode(login.encode()).decode()}"
    if body is not None:
        given.setdefault("Content-Type", "application/json")
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=given, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return Answer(refused.code, refused.headers, refused.read())


def document(url: str, login: str, body: object = None) -> Any:
    """The JSON that Flower answers with, when it is asked properly."""
    answer = ask(url, login, body)
    assert answer.status == 200, answer
    return json.loads(answer.body)
