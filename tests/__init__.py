"""Lumina's tests. Hypothesis sets no deadline: a shared machine may pause in the middle of an example."""

from hypothesis import settings

settings.register_profile("lumina", deadline=None)
settings.load_profile("lumina")
