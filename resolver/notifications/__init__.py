"""The use cases: a backend's, through the mirror, and the browser SDK's, through the callbacks.

Each is one object with its collaborators as fields, called with plain values and a deadline.
"""
