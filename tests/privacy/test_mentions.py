"""A name's words within a text, in any script."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from resolver.privacy.eraser import Eraser
from resolver.privacy.mentions import is_mentioned, to_phrase
from resolver.store.record import Record
from tests.erasing import done, erasure_request
from tests.support import Api


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("राम", "यह रूम खाली है", False),
        ("राम", "कल राम आया", True),
        ("कुमार", "राम कुमार, नमस्ते", True),
        ("สมชาย", "สมชาย สวัสดี", True),
        ("محمد", "شكرا مُحَمَّد", False),
        ("علی‌رضا", "علیرضا آمد", True),
        ("José", "Jose\u0301, hello", True),
        ("Jose", "Jose\u0301, hello", False),
        ("Ben", "\u2764\ufe0fBen\u2764\ufe0f", True),
        ("Ben", "Ben\u00ad!", True),
        ("Ben", "Benny", False),
        ("Ben Kenobi", "BEN\nKenobi's", True),
        ("STRASSE", "die straße", True),
    ],
)
def test_mention_matches_whole_words_in_any_script(name: str, text: str, found: bool) -> None:
    assert is_mentioned([text], [to_phrase(name)]) is found


@pytest.mark.parametrize("name", ["", " ", "!?", "\u0301", "\ufe0f"])
def test_name_without_letters_has_no_words(name: str) -> None:
    assert to_phrase(name) == ()


def test_mention_ignores_keys(api: Api, eraser: Eraser, resolver_environment: dict[str, str]) -> None:
    put(api, "kept", {"page": "/home"})
    put(api, "goes", {"text": ["a page"]})
    done(eraser, resolver_environment, erasure_request(mentioning=("Page",)))
    assert [held.notification for held in api.services.store.scan()] == ["kept"]


def put(api: Api, name: str, content: dict[str, Any]) -> None:
    api.services.store.put(Record("acme", name, "d", "ana", ("cleo",), content=orjson.dumps(content)))
