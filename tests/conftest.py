"""What pytest needs to know of trial's test cases."""

from __future__ import annotations

import pathlib

import pytest


@pytest.fixture(autouse=True)
def own_working_directory(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trial's ``mktemp`` makes its folders where the test runs, which under trial itself is ``_trial_temp``."""
    monkeypatch.chdir(tmp_path)
