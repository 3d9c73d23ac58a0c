"""Lumina: one daemon that owns serial ports and shares the Modbus devices behind them.

The package is built in floors. A module imports from its own floor and from those below it; ``tests/test_layering.py``
checks that.

* 0, what bytes and words mean: ``modbus`` (PDUs, the table of functions, values in registers), ``framing`` (PDUs on a
  wire), ``lineproto`` and ``valueproto`` (the text protocols), ``errors``, ``schema``, ``document``, ``text``.
* 1, the rules, without input, output or clocks: ``bus`` (turns, replies, retries), ``statistics``, ``access``.
* 2, what touches the machine: ``ports`` (one bus behind a serial device or a socket), ``simulator``, ``log``.
* 3, ``devices`` (values by name, polled and kept) and ``client`` (for programs).
* 4, ``frontends`` (what programs connect to, and publishers), ``helpers`` and ``testing`` (for programs).
* 5, ``config``, ``cli`` and ``tap``: the configuration, the command line, the plugin of twistd.

What the documentation calls the mission are the requirements of ``docs/mission.md``: M1 to M19, S1 to S5.
"""

__version__ = "0.1.0"
