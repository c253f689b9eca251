"""The outbox: what Velt is still to be told, kept in Redis until it was."""
