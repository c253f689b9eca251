"""`python -m resolver.sandbox`: serve the sandbox until SIGINT or SIGTERM."""

import signal

import click

from resolver.sandbox.app import create_app
from resolver.sandbox.server import start

_STOPPING = (signal.SIGINT, signal.SIGTERM)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=9000, show_default=True, type=click.IntRange(0, 65_535))
@click.option("--api-key", envvar="VELT_API_KEY", required=True, help="Callers send it as x-velt-api-key.")
@click.option(
    "--auth-token", envvar="VELT_AUTH_TOKEN", required=True, help="Callers send it as x-velt-auth-token."
)
def main(host: str, port: int, api_key: str, auth_token: str) -> None:
    """Emulate Velt's notification API. All data is in memory and lost at the end."""
    # Block the signals here and in all later threads, for sigwait. A handler would run only in the main
    # thread, which a signal delivered to another thread doesn't wake.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        sandbox = start(create_app(api_key, auth_token), host, port)
    except OSError as problem:
        raise click.ClickException(f"cannot listen on {host}:{port}: {problem.strerror}") from None
    click.echo(f"Velt sandbox on {sandbox.url}")
    signal.sigwait(_STOPPING)
    sandbox.stop()


if __name__ == "__main__":
    main()
