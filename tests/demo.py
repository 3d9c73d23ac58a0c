"""One daemon with the demo's devices for all tests of a process.

``setUpClass`` would be the place for it, but trial does not call that.
"""

from __future__ import annotations

import atexit
import functools

from tests.twistd_process import Twistd


@functools.cache
def shared_demo() -> Twistd:
    """The daemon; it ends with this process. Tests that use it leave it as they found it, but for values written."""
    twistd = Twistd("--demo")
    atexit.register(twistd.__exit__, None, None, None)
    return twistd.__enter__()
