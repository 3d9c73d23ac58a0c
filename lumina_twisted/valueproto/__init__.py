"""The grammar of the value lines, floor 0: ``command`` is what a client sends, ``answer`` what it gets, in JSON or as
``text_lines``; ``reading`` is what both are about. ``docs/values.md`` describes all of it.
"""
