"""Data that earlier versions stored, as bytes. Every later version opens it, or refuses it as documented."""
