"""An emulator of Velt's notification API, to develop and test a notification resolver against.

It is written only from Velt's documentation and shares no code with the resolver, so that a
misreading of Velt's contract on either side makes a test fail.
"""

from resolver.sandbox.app import create_app
from resolver.sandbox.server import RunningSandbox, start

__all__ = ["RunningSandbox", "create_app", "start"]
