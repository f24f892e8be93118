"""What the documents say about webhooks is what the code sends."""

import pytest

from billing.domain.event_kinds import KINDS, Resource
from billing.services.webhooks import examples
from billing.services.webhooks.payloads import TEST
from billing.web import hooks


@pytest.mark.parametrize("kind", list(examples.made()))
def test_an_example_fits_the_documented_schema(kind: str) -> None:
    """Each main type has one, with the fields and the resource that a webhook has."""
    body = examples.made()[kind]
    made = hooks.EVENT.model_validate(body)

    assert body["type"] == kind
    assert set(body["data"]) == set(hooks.EVENT.model_fields["data"].annotation.model_fields)
    if body["data"]["object_type"] is not None:
        model = hooks.OBJECTS[Resource(body["data"]["object_type"])]
        assert set(body["data"]["object"]) == set(model.model_fields)
    assert made is not None


def test_the_document_names_every_type() -> None:
    """As an enum, with the type of a test, in the order of the table."""
    document = {"components": {"schemas": {"Event": {"properties": {}},
                                           "WebhookDelivery": {"properties": {}}}}}  # fmt: skip
    hooks.add(document)
    schemas = document["components"]["schemas"]

    assert schemas["EventType"]["enum"] == [*KINDS, TEST]
    assert set(hooks.OBJECTS) == set(Resource)
    assert schemas["Event"]["properties"]["type"] == {"$ref": "#/components/schemas/EventType"}
