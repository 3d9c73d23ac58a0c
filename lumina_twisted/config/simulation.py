"""A simulation from a TOML file, floor 5."""

from __future__ import annotations

import os

from lumina_twisted.config.toml_file import read_toml
from lumina_twisted.simulator.document import simulation_settings
from lumina_twisted.simulator.settings import SimulationSettings


def settings_from_toml(path: str | os.PathLike[str]) -> SimulationSettings:
    """The simulation that the file describes.

    :raises ConfigError: with all its faults.
    """
    return simulation_settings(read_toml(path))
