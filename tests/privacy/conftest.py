"""An eraser in this process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from resolver.privacy.eraser import Eraser


@pytest.fixture
def eraser(make_eraser: Callable[..., Eraser]) -> Eraser:
    return make_eraser()
