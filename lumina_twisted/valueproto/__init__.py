"""The grammar of the value lines, floor 0: names, readings, what is asked and what is answered.

:mod:`~lumina_twisted.valueproto.command` has the lines that a client sends, :mod:`~lumina_twisted.valueproto.answer`
those that it gets, in JSON both ways and as text for people; ``docs/values.md`` tells all of it to those.
"""
