"""Long loops that leave time for the rest of their process."""

from __future__ import annotations

import subprocess
import sys
import time

from resolver.store.scan import in_time_slices

COOPERATIVE = """
from gevent import monkey
monkey.patch_all()
import threading, time
from resolver.store.scan import in_time_slices

gaps, last = [], time.monotonic()

def tick():
    global last
    while True:
        time.sleep(0.001)
        gaps.append(time.monotonic() - last)
        last = time.monotonic()

threading.Thread(target=tick, daemon=True).start()
for item in in_time_slices(range(100)):
    until = time.monotonic() + 0.003
    while time.monotonic() < until:
        pass
print(len(gaps), max(gaps))
"""


def test_time_slices_give_every_item_once_in_order() -> None:
    def slow() -> list[int]:
        found = []
        for item in in_time_slices(range(20)):
            time.sleep(0.001)
            found.append(item)
        return found

    assert slow() == list(range(20))


def test_loop_in_time_slices_lets_other_greenlets_run() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COOPERATIVE], capture_output=True, text=True, timeout=30, check=True
    )
    ticks, longest = done.stdout.split()
    assert int(ticks) > 10
    assert float(longest) < 0.2
