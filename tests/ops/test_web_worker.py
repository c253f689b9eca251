"""The worker class overrides methods that gunicorn's own has. tests/system/web_process tests what they do."""

from __future__ import annotations

import inspect

import pytest
from gunicorn.workers.ggevent import GeventWorker

from resolver.ops.web_worker import WebWorker

OVERRIDDEN = ("run", "handle", "timeout_ctx", "handle_request", "handle_exit")


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_web_worker_overrides_a_method_that_gunicorn_calls(name: str) -> None:
    theirs = inspect.signature(getattr(GeventWorker, name))
    assert list(inspect.signature(getattr(WebWorker, name)).parameters) == list(theirs.parameters)


def test_web_worker_overrides_nothing_else() -> None:
    ours = {name for name in vars(WebWorker) if not name.startswith("_")}
    assert ours == set(OVERRIDDEN)
