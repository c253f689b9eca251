"""The service accepts exactly the requests that the description accepts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import given, settings
from hypothesis import strategies as st

from resolver.api.docs import document
from resolver.api.openapi import mirror
from resolver.errors import InvalidArgument
from resolver.validation.fields import IDENTIFIER, is_identifier
from resolver.velt import config_requests, requests
from resolver.velt.client import VeltEndpoint
from tests.support import JSON

PATHS = mirror.paths()
CHECKS: dict[VeltEndpoint, Callable[[Any], Any]] = {
    VeltEndpoint.ADD: partial(requests.parse, requests.ADD),
    VeltEndpoint.UPDATE: requests.parse_update,
    VeltEndpoint.GET: partial(requests.parse, requests.GET),
    VeltEndpoint.DELETE: partial(requests.parse, requests.DELETE),
    VeltEndpoint.CONFIG_SET: partial(requests.parse, config_requests.CONFIG_SET),
    VeltEndpoint.CONFIG_GET: partial(requests.parse, config_requests.CONFIG_GET),
    VeltEndpoint.WORKSPACE_GET: partial(requests.parse, config_requests.WORKSPACE_GET),
    VeltEndpoint.WORKSPACE_UPDATE: partial(requests.parse, config_requests.WORKSPACE_UPDATE),
}
# Sixteen tests share what one of the others has.
SHARE = 10


# A misspelt key is refused, which a JSON schema of keys that are free otherwise can't say.
BEYOND_A_SCHEMA = "did you mean"


def refusal_of(endpoint: VeltEndpoint, data: Any) -> str | None:
    try:
        CHECKS[endpoint](data)
    except InvalidArgument as refusal:
        return refusal.message
    return None


def described(endpoint: VeltEndpoint) -> JSON:
    media = PATHS[str(endpoint)]["post"]["requestBody"]["content"]["application/json"]
    return cast(JSON, media["schema"]["properties"]["data"])


def bodies(endpoint: VeltEndpoint, mode: schemathesis.GenerationMode) -> st.SearchStrategy[Any]:
    """Leave the credentials out, so that only the body is changed."""
    alone = {**PATHS[str(endpoint)]["post"], "security": []}
    schema = schemathesis.openapi.from_dict(document("1", {str(endpoint): {"post": alone}}))
    cases = schema[str(endpoint)]["POST"].as_strategy(generation_mode=mode)
    return cases.map(lambda case: case.body)


@pytest.mark.fuzz
@pytest.mark.parametrize("endpoint", VeltEndpoint)
@pytest.mark.parametrize("mode", schemathesis.GenerationMode)
def test_a_body_is_taken_where_the_description_allows_it_and_nowhere_else(
    endpoint: VeltEndpoint, mode: schemathesis.GenerationMode
) -> None:
    schema = described(endpoint)

    @settings(max_examples=settings().max_examples // SHARE)
    @given(body=bodies(endpoint, mode))
    def agree(body: Any) -> None:
        if isinstance(body, dict) and "data" in body:
            data = body["data"]
            refusal = refusal_of(endpoint, data)
            if refusal is None or BEYOND_A_SCHEMA not in refusal:
                assert (refusal is None) is jsonschema_rs.is_valid(schema, data), refusal

    agree()


def test_description_has_the_same_idea_of_blanks_as_the_validation() -> None:
    described = jsonschema_rs.validator_for(dict(IDENTIFIER))
    everything = (chr(number) for number in range(0x110000) if not 0xD800 <= number <= 0xDFFF)
    assert [one for one in everything if described.is_valid(one) is not is_identifier(one)] == []
