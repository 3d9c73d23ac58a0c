"""A simulation from a TOML file, floor 5: the simulator's own tables, and profiles that its units can have."""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Mapping
from typing import Any

from lumina_twisted.config.simulated import SimulatedProfiles
from lumina_twisted.config.toml_file import read_toml
from lumina_twisted.devices.describe.document import read_profiles, shipped_profiles
from lumina_twisted.errors import ConfigError
from lumina_twisted.simulator.document import simulation_settings
from lumina_twisted.simulator.settings import SimulationSettings


def settings_from_toml(path: str | os.PathLike[str]) -> SimulationSettings:
    """The simulation that the file describes.

    :raises ConfigError: with all its faults.
    """
    return settings_from_data(read_toml(path))


def settings_from_data(data: Mapping[str, Any]) -> SimulationSettings:
    """The simulation that plain data as of a file describes: its own ``profiles``, and for
    :func:`~lumina_twisted.simulator.document.simulation_settings` the rest.

    :raises ConfigError: with all its faults.
    """
    faults: list[str] = []
    own = read_profiles(data.get("profiles", {}), "profiles", faults)
    profiles = SimulatedProfiles(ChainMap(own, shipped_profiles()))  # type: ignore[arg-type]
    rest = {key: one for key, one in data.items() if key != "profiles"}
    try:
        made = simulation_settings(rest, profiles)
    except ConfigError as error:
        raise ConfigError([*faults, *error.faults]) from None
    if faults:
        raise ConfigError(faults)
    return made
