"""Erasure certificates: who requested an erasure, what was removed, and what Velt answered.

The public key is enough to verify a certificate offline. The people are in it as pseudonyms: the lookup key
is needed to test whether it is about a given person, and no key turns a pseudonym back into a name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from resolver import clock
from resolver.audit.chain import Link
from resolver.audit.signing import Signer, is_signed
from resolver.errors import InvalidArgument
from resolver.privacy.erasure_request import ErasureRequest
from resolver.privacy.people import folded
from resolver.store.keyspace import Keyspace

JSON = dict[str, Any]
Pseudonymize = Callable[[str], str]
_VERSION = 1
LONGEST = 1024 * 1024
NOT_COVERED = (
    "Free text: a name within a sentence stays, but in records whose text was searched for it on request.",
    "Backups of Redis made before: after restoring one, this certificate is replayed.",
    "What was added after the erasure was asked for.",
    "The audit trail, which names user ids, and never content.",
    "Marks that revoke the person's tokens: they hold the id, sealed, without them the tokens hold again.",
    "What Velt holds of the person beyond notifications, unless its deletion was asked for.",
    "Copies that recipients' devices, mail or chat already had.",
)


class Outcome(NamedTuple):
    counts: JSON
    velt: JSON


class InvalidCertificate(InvalidArgument):
    message = "There is no certificate in it."


class NotSigned(InvalidCertificate):
    message = (
        "Its signature doesn't hold: it was changed, or signed with a key that isn't among those that count."
    )


def certificate(request: ErasureRequest, outcome: Outcome, head: Link, keyspace: Keyspace, key: str) -> JSON:
    """Build the body that is signed."""
    pseudonym = keyspace.pseudonym
    mentioned = [
        {"words": len(words), "blinded": pseudonym(" ".join(words))} for words in request.mentions if words
    ]
    return {
        "version": _VERSION,
        "erasureId": request.id,
        "askedBy": request.by,
        "askedAt": request.asked,
        "finishedAt": clock.now(),
        "scope": "whole organizations" if request.whole else "person",
        "subject": {
            "users": sorted(pseudonym(folded(user)) for user in request.users),
            "emails": sorted(pseudonym(address.lower()) for address in request.emails),
            "mentioned": mentioned,
        },
        "organizations": sorted(map(pseudonym, request.organizations)),
        "lookupKey": keyspace.fingerprint(),
        "counts": outcome.counts,
        "velt": outcome.velt,
        "audit": head._asdict(),
        "notCovered": list(NOT_COVERED),
        "publicKey": key,
    }


def signed(body: JSON, signer: Signer) -> bytes:
    return json.dumps({"certificate": body, "signature": signer.sign(_text(body))}, indent=2).encode()


def verified(text: bytes, public_keys: Collection[str]) -> JSON:
    """Verify a certificate and return its body. Raises InvalidCertificate."""
    body: JSON = verified_document(text, public_keys)["certificate"]
    return body


def verified_document(text: bytes, public_keys: Collection[str]) -> JSON:
    """Verify a certificate and return body and signature. Raises InvalidCertificate."""
    try:
        whole: JSON = json.loads(text[:LONGEST])
        if "signature" not in whole:
            whole = whole["certificate"]  # the answer about an erasure's status wraps it once more
        body, signature = whole["certificate"], whole["signature"]
        if body["version"] != _VERSION:
            raise InvalidCertificate()
        good = any(is_signed(_text(body), str(signature), key) for key in public_keys)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InvalidCertificate() from None
    if not good:
        raise NotSigned()
    return whole


def has_pseudonyms_of(body: JSON, keyspace: Keyspace) -> bool:
    """Whether its pseudonyms were made with this lookup key. With another one, no person in it is found."""
    return body.get("lookupKey") == keyspace.fingerprint()


def claimed_id(text: bytes) -> str:
    """Read the erasure's id without verifying anything; empty when there is none."""
    try:
        id_ = json.loads(text[:LONGEST])["certificate"]["erasureId"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return id_ if isinstance(id_, str) and id_.isascii() else ""


def is_about(body: JSON, name: str, pseudonym: Pseudonymize) -> bool:
    """Whether the erasure was of this person or organization. `pseudonym` needs the lookup key."""
    known = {*body["subject"]["users"], *body["organizations"]}
    is_user_or_organization = not known.isdisjoint({pseudonym(name), pseudonym(folded(name))})
    return is_user_or_organization or pseudonym(name.lower()) in body["subject"]["emails"]


def _text(body: JSON) -> bytes:
    """Serialize canonically, so that a file's layout doesn't matter."""
    return b"vnr erasure certificate\n" + json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
