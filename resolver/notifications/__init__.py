"""The use cases: those of backends (Velt-compatible API), and those of browsers (data provider endpoints).

Each is one object with its collaborators as fields, called with plain values and a deadline.
"""
