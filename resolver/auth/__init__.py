"""Authentication of backends and end users, their access to documents, and rate limits."""
