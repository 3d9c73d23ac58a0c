"""The command line ``lumina``, floor 5: for a person at a terminal, and for scripts."""
