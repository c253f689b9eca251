"""What is left of an erasure: who asked, what went, what Velt said, and nothing that tells who it was about.

Anybody with the public key can check it, offline. Whoever has the index key can tell whether it is about a
given person, and nobody can tell whom it is about.
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

JSON = dict[str, Any]
Blinded = Callable[[str], str]
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


def certificate(order: ErasureRequest, outcome: Outcome, head: Link, pseudonym: Blinded, key: str) -> JSON:
    """What is signed."""
    mentioned = [
        {"words": len(words), "blinded": pseudonym(" ".join(words))} for words in order.mentions if words
    ]
    return {
        "version": _VERSION,
        "erasureId": order.id,
        "askedBy": order.by,
        "askedAt": order.asked,
        "finishedAt": clock.now(),
        "scope": "whole organizations" if order.whole else "person",
        "subject": {
            "users": sorted(pseudonym(folded(user)) for user in order.users),
            "emails": sorted(pseudonym(address.lower()) for address in order.emails),
            "mentioned": mentioned,
        },
        "organizations": sorted(map(pseudonym, order.organizations)),
        "counts": outcome.counts,
        "velt": outcome.velt,
        "audit": head._asdict(),
        "notCovered": list(NOT_COVERED),
        "publicKey": key,
    }


def signed(body: JSON, signer: Signer) -> bytes:
    return json.dumps({"certificate": body, "signature": signer.sign(_text(body))}, indent=2).encode()


def verified(text: bytes, public_keys: Collection[str]) -> JSON:
    """What a certificate says, once it proves to be one. InvalidCertificate else."""
    body: JSON = proven(text, public_keys)["certificate"]
    return body


def proven(text: bytes, public_keys: Collection[str]) -> JSON:
    """The same with its signature."""
    try:
        whole: JSON = json.loads(text[:LONGEST])
        if "signature" not in whole:
            whole = whole["certificate"]  # as it stands in the answer that tells how far an erasure is
        body, signature = whole["certificate"], whole["signature"]
        if body["version"] != _VERSION:
            raise InvalidCertificate()
        good = any(is_signed(_text(body), str(signature), key) for key in public_keys)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InvalidCertificate() from None
    if not good:
        raise NotSigned()
    return whole


def claimed_id(text: bytes) -> str:
    """Which erasure it says that it is of, whether it is a certificate or not. Empty when it says none."""
    try:
        id_ = json.loads(text[:LONGEST])["certificate"]["erasureId"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return id_ if isinstance(id_, str) and id_.isascii() else ""


def is_about(body: JSON, name: str, pseudonym: Blinded) -> bool:
    """Whether this is the person, or the organization, that it is about. For whoever has the index key."""
    known = {*body["subject"]["users"], *body["organizations"]}
    is_user_or_organization = not known.isdisjoint({pseudonym(name), pseudonym(folded(name))})
    return is_user_or_organization or pseudonym(name.lower()) in body["subject"]["emails"]


def _text(body: JSON) -> bytes:
    """One spelling, however a file was laid out in between."""
    return b"vnr erasure certificate\n" + json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
