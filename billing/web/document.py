"""The OpenAPI document: what FastAPI makes, with each refusal written once, and with descriptions.

FastAPI documents the model of a refusal as `application/json` in every operation. They are sent as
`application/problem+json`, and are the same everywhere. What a field means is in `descriptions`;
the example of an answer is made of the examples of its fields. What webhooks bring is added.
"""

from typing import Any

from fastapi import FastAPI

from billing.web import answers, descriptions, hooks
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
            _describe(made)
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


def _describe(document: dict[str, Any]) -> None:
    """Say what each field, parameter and value of an enum means, and show examples."""
    schemas = document["components"]["schemas"]
    for name, schema in schemas.items():
        if "enum" in schema and name not in hooks.PLAIN:
            told = descriptions.VALUES.get(name, {})
            values = "; ".join(f"`{value}`: {told[value]}" for value in schema["enum"])
            schema["description"] = f"{schema['description'].removesuffix('.')}. {values}."
        for field, shown in schema.get("properties", {}).items():
            known = descriptions.of_field(name, field)
            if known is not None:
                shown.setdefault("description", known[0])
    for methods in document["paths"].values():
        for operation in methods.values():
            for parameter in operation.get("parameters", ()):
                known_as = descriptions.PARAMETERS.get(parameter["name"])
                if known_as is not None:
                    parameter.setdefault("description", known_as)
            _show_examples(operation, schemas)


def _show_examples(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    body = operation.get("requestBody", {}).get("content", {}).get(answers.MEDIA_TYPE)
    if body is not None:
        body["example"] = descriptions.BODIES[_named(body["schema"])]
    for answer in operation["responses"].values():
        content = answer.get("content", {}).get(answers.MEDIA_TYPE)
        if content is not None:
            content["example"] = _example(_named(content["schema"]), schemas)


def _named(schema: dict[str, Any]) -> str:
    """Return the name of the schema that is referred to, also by one that may be null."""
    inner = schema.get("anyOf", [schema])[0]
    return str(inner["$ref"]).rpartition("/")[2]


def _example(name: str, schemas: dict[str, Any], *, deep: bool = True) -> dict[str, Any]:
    """Build an example of a schema; a page has one row, and other lists are empty."""
    return {
        field: _example_of(name, field, shown, schemas, deep=deep)
        for field, shown in schemas[name]["properties"].items()
    }


def _example_of(
    name: str, field: str, shown: dict[str, Any], schemas: dict[str, Any], *, deep: bool
) -> object:
    known = descriptions.of_field(name, field)
    given = shown.get("examples", [None if known is None else known[1]])[0]
    if field == "data" and shown.get("type") == "array":
        return [_example(_named(shown["items"]), schemas)]
    if "$ref" not in shown and (given is not None or _may_be_null(shown)):
        return _fits(given, shown, schemas)
    if "$ref" in shown:
        target = schemas[_named(shown)]
        if "enum" in target:
            return given if given in target["enum"] else target["enum"][0]
        return _example(_named(shown), schemas, deep=False) if deep else given
    return given


def _may_be_null(shown: dict[str, Any]) -> bool:
    return any(each.get("type") == "null" for each in shown.get("anyOf", ()))


def _fits(given: object, shown: dict[str, Any], schemas: dict[str, Any]) -> object:
    """Return an example, or null for one that is no value of an optional enum."""
    for each in shown.get("anyOf", ()):
        if "$ref" in each and "enum" in schemas[_named(each)]:
            return given if given in schemas[_named(each)]["enum"] else None
    return given
