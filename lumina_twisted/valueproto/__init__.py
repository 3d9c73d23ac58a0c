"""The grammar of the value lines, floor 0: ``command`` has the lines that a client sends, ``answer`` the answers and
their JSON, ``text_lines`` the answers as text, and ``reading`` the readings in both. ``docs/values.md`` describes the
protocol.
"""
