"""The `resolver` command: the installed script of that name, and `python -m resolver`."""

from __future__ import annotations

import sys


def main() -> None:
    if sys.argv[1:2] == ["worker"]:
        # Patch before importing any module that opens sockets: later, TLS fails with RecursionError.
        from gevent import monkey  # noqa: PLC0415

        monkey.patch_all()
    from resolver.cli import main as command  # noqa: PLC0415

    command(prog_name="resolver")


if __name__ == "__main__":
    main()
