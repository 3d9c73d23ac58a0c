"""``python -m lumina_twisted.cli``, floor 5."""

from __future__ import annotations

import sys

from lumina_twisted.cli.main import main

sys.exit(main())
