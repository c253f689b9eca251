"""How often somebody may call: RESOLVER_RATE_LIMIT."""
