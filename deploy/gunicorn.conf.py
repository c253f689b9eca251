"""`gunicorn -c deploy/gunicorn.conf.py wsgi:app`: the settings that `resolver serve` uses, and no others."""

from resolver.serving import *  # noqa: F403
