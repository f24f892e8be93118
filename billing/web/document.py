"""The OpenAPI document: what FastAPI makes, with each refusal written once.

FastAPI documents the model of a refusal as `application/json` in every operation. They are sent as
`application/problem+json`, and are the same everywhere. What webhooks bring is added.
"""

from typing import Any

from fastapi import FastAPI

from billing.web import hooks
from billing.web.problems import MEDIA_TYPE

_PROBLEM = {"$ref": "#/components/schemas/Problem"}


def install(app: FastAPI) -> None:
    """Make the application serve the document with shared refusals."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        made = plain()
        if "responses" not in made["components"]:
            _share_refusals(made)
            hooks.add(made)
        return made

    app.openapi = openapi  # type: ignore[method-assign]  # how FastAPI's documents say it is done


def _share_refusals(document: dict[str, Any]) -> None:
    shared: dict[str, Any] = {}
    for methods in document["paths"].values():
        for operation in methods.values():
            for status, answer in operation["responses"].items():
                if MEDIA_TYPE in answer.get("content", {}):
                    name = f"Refused{status}"
                    shared[name] = _of_problem(answer)
                    operation["responses"][status] = {"$ref": f"#/components/responses/{name}"}
    document["components"]["responses"] = dict(sorted(shared.items()))


def _of_problem(answer: dict[str, Any]) -> dict[str, Any]:
    example = answer["content"][MEDIA_TYPE]["example"]
    content = {MEDIA_TYPE: {"schema": _PROBLEM, "example": example}}
    found: dict[str, Any] = {"description": answer["description"], "content": content}
    if example["status"] in {409, 429, 503}:
        seconds = {"description": "Seconds to wait", "schema": {"type": "integer"}}
        found["headers"] = {"Retry-After": seconds}
    return found
