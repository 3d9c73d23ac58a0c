"""The grammar of the value lines, floor 0: names, readings, what is asked and what is answered.

:mod:`~lumina_twisted.valueproto.command` has what a client asks, :mod:`~lumina_twisted.valueproto.command_lines` the
lines that say it, and :mod:`~lumina_twisted.valueproto.answer` what it is answered, in JSON both ways and as text for
people. ``docs/values.md`` tells all of it to those.
"""
