"""Logs, floor 2: to the console or the journal, and to files that are rotated by size and by day (M4).

The program only formats an event and lines it up; threads of their own write, so that nothing on the data path waits
for a disk or for a terminal that nobody reads.
"""

from lumina_twisted.log.logger import LuminaLogger
from lumina_twisted.log.observer import LogObserver, make_observer
from lumina_twisted.log.settings import LogSettings

__all__ = ["LogObserver", "LogSettings", "LuminaLogger", "make_observer"]
