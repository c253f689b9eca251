"""Export and erasure of everything that is stored about a person or an organization."""
