"""Connections to buses for a program of its own: the mission's ``ConnectionPool``, floor 2."""

from lumina_twisted.helpers.pooling.connection import Connection, PooledUnit
from lumina_twisted.helpers.pooling.pool import ConnectionPool

__all__ = ["Connection", "ConnectionPool", "PooledUnit"]
