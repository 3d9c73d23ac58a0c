"""The C programs of the benchmarks, compiled where that has not been done."""

from __future__ import annotations

import pathlib
import shutil
import subprocess

HERE = pathlib.Path(__file__).parent
BIN = HERE / "bin"
LIBRARIES = {"busim": ("-pthread", "-lutil"), "mbload": (), "mbcheck": ()}
HEADERS = ("bus_state.h", "bus_device.h")


class CannotMeasure(Exception):
    """Why a measurement is not possible here, and what to do; a sentence for a person."""


def build() -> None:
    """Compiles busim, mbload and mbcheck where they are missing or older than their source.

    :raises CannotMeasure: there is no compiler, or it failed.
    """
    BIN.mkdir(exist_ok=True)
    headers = max((HERE / name).stat().st_mtime for name in HEADERS)
    for name, libraries in LIBRARIES.items():
        source, target = HERE / f"{name}.c", BIN / name
        if not target.exists() or target.stat().st_mtime < max(source.stat().st_mtime, headers):
            _compile(source, target, libraries)


def _compile(source: pathlib.Path, target: pathlib.Path, libraries: tuple[str, ...]) -> None:
    if shutil.which("gcc") is None:
        raise CannotMeasure(
            f"{source.name} has to be compiled and there is no gcc; install it (Debian: sudo apt install gcc libc6-dev,"
            " or run interop/install)"
        )
    done = subprocess.run(
        ["gcc", "-O2", "-o", str(target), str(source), *libraries], capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = next((line for line in done.stderr.splitlines() if "error" in line), "it gave no reason")
        raise CannotMeasure(
            f"gcc could not compile {source.name}: {said.strip()}; if a header is missing, install libc6-dev"
        )
