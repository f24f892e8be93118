"""The bare FastAPI handlers that the HTTP interface is compared with.

Each executes the statements that the engine executed for the same request, in the same
transactions, by psycopg and nothing else, and answers with the same fields. The statements and the
answer were recorded; the ids in them are replaced. They are in the file that the environment names.
"""

import os
import pickle
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from uuid import UUID, uuid4

import orjson
import psycopg
from fastapi import FastAPI, Header
from psycopg.rows import dict_row
from psycopg.types.json import Json, Jsonb
from pydantic import BaseModel
from starlette.responses import Response

VARIABLE = "BENCH_WEB_RECORDED"


class Recorded(NamedTuple):
    """A request: its transactions with statements and parameters, its answer, and the ids in it."""

    transactions: list[list[tuple[str, Any]]]
    answer: bytes
    ids: tuple[str, ...]
    """The subscription's id, and what else has to be another for every request."""


class Recordings(NamedTuple):
    """The database, and both requests."""

    url: str
    show: Recorded
    create: Recorded


class Wanted(BaseModel):
    """The body of a POST."""

    customer: str
    plan: str
    again: bool


def create() -> FastAPI:
    """Build the bare application."""
    recorded: Recordings = pickle.loads(Path(os.environ[VARIABLE]).read_bytes())
    own = threading.local()
    app = FastAPI()

    def connection() -> psycopg.Connection[dict[str, Any]]:
        if not hasattr(own, "connection"):
            own.connection = psycopg.connect(recorded.url, row_factory=dict_row)
        found: psycopg.Connection[dict[str, Any]] = own.connection
        return found

    def answer(wanted: Recorded, ids: Mapping[str, str]) -> Response:
        rows: list[dict[str, Any]] = []
        for statements in wanted.transactions:
            with connection().transaction():
                for statement, parameters in statements:
                    cursor = connection().execute(statement, _with(parameters, ids))
                    if cursor.description:
                        rows += cursor.fetchall()
        document = orjson.loads(_replaced(wanted.answer.decode(), ids))
        return Response(orjson.dumps(document), media_type="application/json")

    @app.get("/v1/subscriptions/{subscription_id}")
    def show(subscription_id: UUID, authorization: Annotated[str, Header()]) -> Response:
        return answer(recorded.show, {recorded.show.ids[0]: str(subscription_id)})

    @app.post("/v1/subscriptions")
    def create(body: Wanted, authorization: Annotated[str, Header()]) -> Response:
        others = {name: str(uuid4()) for name in recorded.create.ids if "-" in name}
        return answer(recorded.create, {recorded.create.ids[1]: body.customer} | others)

    return app


def _replaced(text: str, ids: Mapping[str, str]) -> str:
    for name, other in ids.items():
        text = text.replace(name, other)
    return text


def _with(value: Any, ids: Mapping[str, str]) -> Any:
    """Replace ids in the parameters of a statement."""
    match value:
        case str():
            return _replaced(value, ids)
        case UUID():
            return UUID(ids.get(str(value), str(value)))
        case dict():
            return {name: _with(each, ids) for name, each in value.items()}
        case list() | tuple():
            return [_with(each, ids) for each in value]
        case Json() | Jsonb():
            return type(value)(_with(value.obj, ids))
        case _:
            return value
