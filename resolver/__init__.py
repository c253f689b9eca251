"""Self-hosted notification resolver for Velt: the customer's side of Velt's resolver mode."""

__version__ = "0.1.0"
