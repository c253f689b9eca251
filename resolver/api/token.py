"""The token endpoints: mint short-lived tokens for end users, and revoke tokens of any issuer.

token          {userId, organizationIds, ttlSeconds?}   -> {token, expiresAt}
token/revoke   {userId, organizationId?}                -> {revokedAt}
"""

from __future__ import annotations

from collections.abc import Iterator

from resolver.api.body import read_json
from resolver.api.endpoint import Route
from resolver.api.reply import Reply, json_reply
from resolver.api.request import Call
from resolver.audit.event import shortened
from resolver.auth.callers import Backend
from resolver.auth.tokens import LONGEST_SECONDS, SHORTEST_SECONDS, USUAL_SECONDS
from resolver.validation.fields import Identifier, Identifiers, Whole
from resolver.velt.schema import Request, parse
from resolver.wiring import Services

PATH = "/api/velt/token"
REVOKE = f"{PATH}/revoke"


class _TokenRequest(Request):
    """Unknown keys are refused: an ignored misspelling of `ttlSeconds` would make a longer token."""

    userId = Identifier(required=True)
    organizationIds = Identifiers(required=True, least=1)
    ttlSeconds = Whole(SHORTEST_SECONDS, LONGEST_SECONDS)


class _Revocation(Request):
    """Unknown keys are refused: an ignored misspelling of `organizationId` would revoke more."""

    userId = Identifier(required=True)
    organizationId = Identifier()


SCHEMA = _TokenRequest()
REVOCATION = _Revocation()


def routes(services: Services) -> Iterator[Route]:
    def mint(call: Call[Backend]) -> Reply:
        wanted = parse(SCHEMA, read_json(call.request))
        minted = services.tokens.mint(
            wanted["userId"], wanted["organizationIds"], wanted.get("ttlSeconds", USUAL_SECONDS)
        )
        call.audit.record(ids=wanted["organizationIds"], user=shortened(wanted["userId"]))
        return json_reply({"token": minted.token, "expiresAt": minted.expires_at})

    def revoke(call: Call[Backend]) -> Reply:
        wanted = parse(REVOCATION, read_json(call.request))
        user, organization = wanted["userId"], wanted.get("organizationId", "")
        call.audit.record(organization=organization, user=shortened(user))
        mark = services.revocations.revoke(user, organization)
        return json_reply({"revokedAt": mark.at_ms // 1000})

    yield Route("POST", PATH, "mint", mint)
    yield Route("POST", REVOKE, "revoke", revoke)
