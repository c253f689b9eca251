"""The service as OpenAPI 3.1: what each surface takes and answers. Plain data, built once."""
