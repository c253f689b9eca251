"""An eraser in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from resolver.privacy.eraser import Eraser
from tests.erasing import done, erasure_request
from tests.support import Api


@pytest.fixture
def eraser(make_eraser: Callable[..., Eraser]) -> Eraser:
    return make_eraser()


@pytest.fixture
def certificate(
    api: Api, make_eraser: Callable[..., Eraser], resolver_environment: dict[str, str], kept: Path
) -> Path:
    """The certificate of ben's erasure from acme."""
    api.add()
    done(
        make_eraser(),
        resolver_environment,
        erasure_request("ben", emails=("B@example.com",), organizations=("acme",)),
    )
    (found,) = kept.iterdir()
    return found
