"""Logs, floor 2: to the console or the journal, and to files that are rotated by size and by day (M4).

The program only formats an event and queues it. Threads write, so that nothing on the data path waits for a disk or for
a terminal that nobody reads.
"""

from lumina_twisted.log.observer import LogObserver, LogSettings, LuminaLogger, make_observer

__all__ = ["LogObserver", "LogSettings", "LuminaLogger", "make_observer"]
