"""The results of a run: a JSON file that is written after each part, so that no minute is lost."""

from __future__ import annotations

import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import time
from typing import Any

from attrs import asdict, define, field

from benchmarks.length import Figures, Length

HERE = pathlib.Path(__file__).parent
FOLDER = HERE / "results"
PUBLISHED = FOLDER / "published.json"
FORMAT = 1


@define(kw_only=True)
class Results:
    """What was measured where, when and with what."""

    about: Figures
    """``date``, ``length``, ``machine`` and ``versions``."""
    measured: dict[str, Figures] = field(factory=dict)
    """By part."""
    failed: dict[str, str] = field(factory=dict)
    """By part, a sentence that says why."""

    def save(self, path: pathlib.Path) -> None:
        """Writes them; whoever reads meanwhile sees the former file or the new one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + ".part")
        unfinished.write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n")
        unfinished.replace(path)

    @classmethod
    def load(cls, path: pathlib.Path) -> Results:
        """Reads such a file.

        :raises ValueError: it is not one.
        """
        try:
            read = json.loads(path.read_text())
            if read.pop("format") != FORMAT:
                raise ValueError("another format")
            return cls(**read)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as why:
            raise ValueError(f"{path} holds no results of the benchmarks ({why}); `make bench` makes them") from why


def new_results(length: Length) -> Results:
    """Empty ones of this machine and moment."""
    about = {
        "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "length": asdict(length), "machine": machine(), "versions": versions(),
    }
    return Results(about=about)


def machine() -> Figures:
    """What this computer is; not which one."""
    about = pathlib.Path("/proc/cpuinfo").read_text()
    board = pathlib.Path("/proc/device-tree/model")
    model = next((line.split(":", 1)[1].strip() for line in about.splitlines() if line.startswith("model name")), "")
    if board.exists():
        model = board.read_text().rstrip("\0")
    return {
        "processor": model or platform.machine(), "cores": os.cpu_count(),
        "virtual": any("hypervisor" in line for line in about.splitlines() if line.startswith("flags")),
        "system": f"{platform.system()} {platform.release().split('-')[0]}", "load": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, Any]:
    """Of what takes part. ``revision`` is git's, ``+`` where files differ from it, or nothing without git."""
    names = ("lumina_twisted", "twisted", "pyserial", "pymodbus")
    found = {name: importlib.metadata.version(name) for name in names}
    try:
        revision = subprocess.run(
            ["git", "describe", "--always", "--dirty=+"], cwd=HERE, capture_output=True, text=True, check=False
        ).stdout.strip()
    except OSError:
        revision = ""
    return {**found, "python": platform.python_version(), "revision": revision}
