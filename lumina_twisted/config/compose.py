"""Makes one configuration of the operator's file and command line. Floor 5.

File and command line add up: a ``--port`` or ``--listen`` beside ``--config`` is one more port or listener. The
profiles and devices of the folder ``devices.d`` beside the file belong to the file. These defaults fill the gaps:

* the file :data:`DEFAULT_FILE`, if it exists and the command line names no file, port, listener or demo;
* the ports :data:`DEFAULT_PORTS`, if there is no file and no port;
* :data:`DEFAULT_LISTENER`, if there is no listener; with devices :data:`VALUES_LISTENER` too, and with the demo
  :data:`DEMO_LISTENER`.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Final

import attrs
from attrs import frozen

from lumina_twisted.config.configuration import Configuration, Draft
from lumina_twisted.config.sources import (
    add_devices_folder,
    add_document,
    add_listen_argument,
    add_port_argument,
    add_setting_arguments,
    read_toml,
)

DEFAULT_FILE: Final = "/etc/lumina/lumina.toml"
DEFAULT_PORTS: Final = ("/dev/ttyAMA2", "/dev/ttyAMA3", "/dev/ttyAMA4")
"""The first three RS-485 ports of the usual Raspberry Pi boards."""
DEFAULT_LISTENER: Final = "line=tcp:8888:interface=127.0.0.1"
VALUES_LISTENER: Final = "values=tcp:5000:interface=127.0.0.1"
DEMO_PORTS: Final = ("demo1", "demo2")
DEMO_LISTENER: Final = "modbus-tcp,routes.1-99=demo1,routes.101-199=demo2@1=tcp:1502:interface=127.0.0.1"


@frozen(kw_only=True)
class Given:
    """What the operator gave.

    :param file: path of the configuration file, or empty.
    :param ports: the ``--port`` arguments; likewise ``listeners``, ``limits``, ``log`` and ``values``.
    :param demo: whether the two simulated ports are added.
    """

    file: str = ""
    ports: Sequence[str] = ()
    listeners: Sequence[str] = ()
    limits: Sequence[str] = ()
    log: Sequence[str] = ()
    values: Sequence[str] = ()
    demo: bool = False


def file_used(given: Given, default: str = DEFAULT_FILE) -> str:
    """The path of the file that is read, or an empty string."""
    if given.file:
        return given.file
    bare = not (given.ports or given.listeners or given.demo)
    return default if bare and pathlib.Path(default).exists() else ""


def compose(given: Given, default_file: str = DEFAULT_FILE) -> Configuration:
    """The configuration.

    :raises ConfigError: if it has faults; the error names all of them.
    """
    draft = Draft(DEMO_PORTS if given.demo else ())
    if given.demo:
        from lumina_twisted.config.demo import DEVICES  # imports the simulator

        draft.descriptions.add({"devices": DEVICES}, "--demo: ")
        draft.settings["values"] = attrs.evolve(draft.settings["values"], database="")  # a demo leaves no file behind
    file = file_used(given, default_file)
    if file:
        add_document(draft, read_toml(file))
        add_devices_folder(draft, file)
    for text in given.ports:
        add_port_argument(draft, text)
    for text in given.listeners:
        add_listen_argument(draft, text)
    add_setting_arguments(draft, "limits", "--limit", given.limits)
    add_setting_arguments(draft, "log", "--log", given.log)
    add_setting_arguments(draft, "values", "--values", given.values)
    _add_defaults(draft, given, file)
    return draft.finish()


def _add_defaults(draft: Draft, given: Given, file: str) -> None:
    if not (file or given.ports or given.demo):
        for path in DEFAULT_PORTS:
            add_port_argument(draft, path)
    if not draft.listeners and not draft.faults:
        add_listen_argument(draft, DEFAULT_LISTENER)
        if draft.descriptions:
            add_listen_argument(draft, VALUES_LISTENER)
        if given.demo:
            add_listen_argument(draft, DEMO_LISTENER)
