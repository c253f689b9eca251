"""A comparison counts when both sides were first seen to do the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import urllib3

from bench.wrk import Request

JSON = dict[str, Any]
_ECHOED = frozenset({"organizationId"})
"""velt-py gives back the organization with each notification; it is no content."""


class NotTheSame(Exception):
    pass


def answer(url: str, request: Request) -> JSON:
    reply = urllib3.request(
        "POST",
        url + request.path,
        body=orjson.dumps(request.body),
        headers={"content-type": "application/json", **request.headers},
        retries=False,
        timeout=10,
    )
    if reply.status != 200:
        raise NotTheSame(f"{url}{request.path} answered {reply.status}: {reply.data[:300]!r}")
    found: JSON = orjson.loads(reply.data)
    return found


def require_same_content(urls: Mapping[str, str], request: Request) -> None:
    """Everything that is asked for, and from everybody the same."""
    asked = request.body["notificationIds"]
    require_same(asked, {name: answer(url, request)["data"] for name, url in urls.items()})


def require_same(asked: list[str], found: Mapping[str, JSON]) -> None:
    """By side: what came back for each id."""
    first, *_ = found
    for name, items in found.items():
        for id_ in asked:
            if id_ not in items:
                raise NotTheSame(f"{name} does not return {id_}")
            if _content(items[id_]) != _content(found[first][id_]):
                raise NotTheSame(f"{id_} is not the same from {first} and from {name}")
        if strangers := set(items) - set(asked):
            raise NotTheSame(f"{name} returns what nobody asked for: {sorted(strangers)[:3]}")


def _content(item: JSON) -> JSON:
    return {name: value for name, value in item.items() if name not in _ECHOED}
