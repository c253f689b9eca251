"""`python -m resolver.sandbox`: serve the sandbox until SIGINT or SIGTERM."""

import signal
from threading import Event

import click

from resolver.sandbox.app import create_app
from resolver.sandbox.server import start


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=9000, show_default=True, type=click.IntRange(0, 65_535))
@click.option("--api-key", envvar="VELT_API_KEY", required=True, help="What callers send as x-velt-api-key.")
@click.option("--auth-token", envvar="VELT_AUTH_TOKEN", required=True, help="... and as x-velt-auth-token.")
def main(host: str, port: int, api_key: str, auth_token: str) -> None:
    """Emulate Velt's notification API. Everything is held in memory and gone at the end."""
    stopped = _stop_signal()
    try:
        sandbox = start(create_app(api_key, auth_token), host, port)
    except OSError as problem:
        raise click.ClickException(f"cannot listen on {host}:{port}: {problem.strerror}") from None
    click.echo(f"Velt sandbox on {sandbox.url}")
    stopped.wait()
    sandbox.stop()


def _stop_signal() -> Event:
    """Set before the server is announced, so that whoever read the line can already stop it."""
    stopped = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    return stopped


if __name__ == "__main__":
    main()
