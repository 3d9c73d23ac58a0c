"""Callers, the terms of their requests, and the access rules, floor 1."""
