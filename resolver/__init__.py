"""The customer's half of Velt's notification resolver mode."""

__version__ = "0.1.0"
