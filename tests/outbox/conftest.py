"""The fixtures of use cases that leave work for the worker."""

from __future__ import annotations

from tests.notifications.conftest import deferred, outbox, working

__all__ = ("deferred", "outbox", "working")
