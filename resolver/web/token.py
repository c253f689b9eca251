"""The token endpoint: short-lived callback tokens for teams without an identity provider."""

from __future__ import annotations

from flask import Blueprint, Response
from marshmallow import EXCLUDE, Schema

from resolver.access.tokens import LONGEST_SECONDS, SHORTEST_SECONDS, USUAL_SECONDS
from resolver.audit.event import shortened
from resolver.fields import Identifier, Identifiers, Whole
from resolver.services import Services
from resolver.velt.requests import parse
from resolver.web.body import read_json
from resolver.web.errors import json_reply
from resolver.web.request import attempt

PATH = "/api/velt/token"


class _TokenRequest(Schema):
    class Meta:
        unknown = EXCLUDE

    userId = Identifier(required=True)
    organizationIds = Identifiers(required=True, least=1)
    ttlSeconds = Whole(SHORTEST_SECONDS, LONGEST_SECONDS)


SCHEMA = _TokenRequest()


def blueprint(services: Services) -> Blueprint:
    token = Blueprint("token", __name__)

    @token.post(PATH, provide_automatic_options=False)
    def mint() -> Response:
        wanted = parse(SCHEMA, read_json())
        minted = services.tokens.mint(
            wanted["userId"], wanted["organizationIds"], wanted.get("ttlSeconds", USUAL_SECONDS)
        )
        attempt().record(ids=wanted["organizationIds"], user=shortened(wanted["userId"]))
        return json_reply({"token": minted.token, "expiresAt": minted.expires_at})

    return token
