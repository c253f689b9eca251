"""The outbox: commands for Velt, queued in Redis until Velt has them."""
