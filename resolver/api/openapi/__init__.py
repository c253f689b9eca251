"""The OpenAPI 3.1 description of each surface: plain data, built once at start."""
