"""docs/openapi.json: current, and changed by additions only."""

import json
import subprocess
from typing import Any

from jsonschema_rs import Draft202012Validator

from billing.web import descriptions
from tests.house.openapi_page import document, written
from tests.house.tree import ROOT

PAGE = ROOT / "docs" / "openapi.json"


def test_the_committed_document_equals_the_code() -> None:
    """A client that was generated from the file fits the server."""
    assert PAGE.read_text() == written()


def test_every_operation_and_every_body_field_is_described() -> None:
    """The document is complete: ids, descriptions, a schema for each success."""
    found = document()
    operations = [each for methods in found["paths"].values() for each in methods.values()]
    assert len({each["operationId"] for each in operations}) == len(operations)
    for each in operations:
        assert each["description"].endswith((".", "?"))
        [success, *_] = [name for name in each["responses"] if name.startswith("2")]
        if success == "204":
            continue
        assert each["responses"][success]["content"]["application/json"]["schema"]


def test_the_document_only_grows() -> None:
    """What the last commit documented is still there: a merchant's client must not break."""
    before = subprocess.run(
        ["git", "show", "HEAD:docs/openapi.json"], cwd=ROOT, capture_output=True, check=False
    )
    if before.returncode == 0:
        assert lost(json.loads(before.stdout), document()) == []


def test_a_loss_for_clients_is_found() -> None:
    """A path, a field of an answer, an optional parameter that becomes required."""
    old = {
        "paths": {"/a": {"get": {"parameters": [{"name": "x", "required": False}]}}},
        "components": {"schemas": {"Row": {"properties": {"id": {}, "name": {}}}}},
    }
    new = {
        "paths": {"/a": {"get": {"parameters": [{"name": "x", "required": True}]}}},
        "components": {"schemas": {"Row": {"properties": {"id": {}}}}},
    }
    assert lost(old, old) == []
    assert lost(old, new) == ["get /a needs x", "Row.name"]
    assert lost(old, {"paths": {}, "components": {"schemas": {}}}) == [
        "get /a",
        "Row.id",
        "Row.name",
    ]


def lost(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What a client that was made from the old document misses in the new one."""
    found = []
    for path, methods in old["paths"].items():
        for method, operation in methods.items():
            now = new["paths"].get(path, {}).get(method)
            if now is None:
                found.append(f"{method} {path}")
                continue
            optional = {each["name"] for each in operation.get("parameters", ())
                        if not each.get("required")}  # fmt: skip
            found += [
                f"{method} {path} needs {each['name']}"
                for each in now.get("parameters", ())
                if each.get("required") and each["name"] in optional
            ]
    schemas = new["components"]["schemas"]
    for name, schema in old["components"]["schemas"].items():
        kept = schemas.get(name, {}).get("properties", {})
        found += [f"{name}.{field}" for field in schema.get("properties", {}) if field not in kept]
    return found


def test_every_field_every_parameter_and_every_value_is_described() -> None:
    """Whoever reads only the document knows what each name means."""
    found = document()
    bare = [
        f"{name}.{field}"
        for name, schema in found["components"]["schemas"].items()
        for field, shown in schema.get("properties", {}).items()
        if not shown.get("description")
    ]
    bare += [
        f"{name}: {value}"
        for name, schema in found["components"]["schemas"].items()
        for value in schema.get("enum", ())
        if f"`{value}`: " not in schema["description"]
    ]
    bare += [
        f"{path} {parameter['name']}"
        for path, methods in found["paths"].items()
        for operation in methods.values()
        for parameter in operation.get("parameters", ())
        if not parameter.get("description")
    ]
    assert bare == []


def test_no_description_is_of_a_name_that_does_not_exist() -> None:
    """A field that is renamed takes its description with it."""
    schemas = document()["components"]["schemas"]
    names = {field for schema in schemas.values() for field in schema.get("properties", {})}
    assert descriptions.FIELDS.keys() - names == set()
    assert descriptions.VALUES.keys() == {name for name in schemas if "enum" in schemas[name]}
    assert descriptions.BODIES.keys() == {name for name in schemas if name.endswith("Body")}


def test_each_operation_has_examples_that_fit_their_schemas() -> None:
    """A reader copies them: each is valid for what it is an example of."""
    found = document()
    wrong, seen = [], 0
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            contents = [operation.get("requestBody", {}).get("content", {})]
            contents += [each.get("content", {}) for each in operation["responses"].values()]
            for content in filter(None, (each.get("application/json") for each in contents)):
                schema = {**content["schema"], "components": found["components"]}
                faults = list(
                    Draft202012Validator(schema, validate_formats=True).iter_errors(
                        content["example"]
                    )
                )
                wrong += [
                    f"{method} {path}: {each.instance_path} {each.message}" for each in faults
                ]
                seen += 1
    assert wrong == []
    assert seen > 70
