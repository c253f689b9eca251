"""`gunicorn -c deploy/gunicorn.conf.py wsgi:app`: the settings that `resolver serve` uses, and no others."""

from resolver.ops.gunicorn_settings import *  # noqa: F403
