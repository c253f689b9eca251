"""For any WSGI server: `gunicorn -c deploy/gunicorn.conf.py wsgi:app`."""

from resolver.app import create_app

app = create_app()
