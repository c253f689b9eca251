"""What is stored, who reads it, and the requests that ask for it: the same for everybody who is compared."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache
from typing import Any

import orjson

from bench.wrk import NEW_ID, Request
from resolver.store.record import Record
from tests.support import BACKEND, signed

JSON = dict[str, Any]
ORGANIZATION = "acme"
DOCUMENT = "contract-2041"
READERS = 10
"""Each has a token of their own and a tenth of the notifications."""
GET = "/api/velt/notifications/get"
ADD = "/v2/notifications/add"
UPDATE = "/v2/notifications/update"
# A file of requests asks for so many ids in all, that a large store isn't read in one corner alone.
_ASKED, _FEWEST, _MOST = 100_000, 100, 5000


def notification_id(n: int) -> str:
    return f"ntf_{n:020d}"


def reader(n: int) -> str:
    """Whom the n-th notification is for."""
    return f"ben-{n % READERS}"


def content(n: int) -> JSON:
    """Of a size that teams know: a headline, a sentence or five."""
    return {
        "actionUser": {"userId": "ana", "name": "Ana Lima", "email": "ana@example.com"},
        "displayHeadlineMessageTemplate": "{actionUser} asked you about {topic}",
        "displayHeadlineMessageTemplateData": {"topic": f"clause {n} of the merger"},
        "displayBodyMessage": "Can we still sign on Friday? " * 10,
    }


def addition(notification: str, n: int = 0) -> JSON:
    """What a backend sends to add it."""
    return {
        "organizationId": ORGANIZATION,
        "documentId": DOCUMENT,
        "notificationId": notification,
        "notifyUsers": [{"userId": reader(n)}],
        "notifyAll": False,
        **content(n),
    }


def record(n: int, created: int) -> Record:
    """As an add leaves it."""
    return Record(
        organization=ORGANIZATION,
        notification=notification_id(n),
        document=DOCUMENT,
        actor="ana",
        audience=(reader(n),),
        everyone=False,
        created=created,
        content=orjson.dumps(content(n)),
    )


@cache
def bearer(user: str) -> dict[str, str]:
    return {"authorization": f"Bearer {signed(user, ORGANIZATION)}"}


def reads(size: int, stored: int) -> Iterator[Request]:
    """Each by one of the readers, of so many of the notifications that are theirs, anywhere in the store."""
    dice = random.Random(size)
    for n in range(min(_MOST, max(_FEWEST, _ASKED // size))):
        yield read_of([mine * READERS + n % READERS for mine in dice.sample(range(stored // READERS), size)])


def read_of(numbers: list[int]) -> Request:
    """All of them are for the reader of the first."""
    ids = [notification_id(number) for number in numbers]
    return Request(GET, {"organizationId": ORGANIZATION, "notificationIds": ids}, bearer(reader(numbers[0])))


def read_by_id(notification: str, n: int = 0) -> Request:
    asked = {"organizationId": ORGANIZATION, "notificationIds": [notification]}
    return Request(GET, asked, bearer(reader(n)))


def adds(notification: str = NEW_ID) -> Iterator[Request]:
    yield Request(ADD, {"data": addition(notification)}, BACKEND)


def updates(stored: int) -> Iterator[Request]:
    dice = random.Random(stored)
    for n in dice.sample(range(stored), min(stored, 2000)):
        yield update_of(n)


def update_of(n: int) -> Request:
    """A new sentence, local to whoever keeps the content."""
    entry = {"id": notification_id(n), "displayBodyMessage": "Signed on Friday after all. " * 10}
    data = {"organizationId": ORGANIZATION, "documentId": DOCUMENT, "notifications": [entry]}
    return Request(UPDATE, {"data": data}, BACKEND)
