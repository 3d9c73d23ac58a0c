"""From what the operator gave to one configuration, floor 5.

File and command line add up: a ``--port`` or ``--listen`` beside ``--config`` is one more port or listener. What is
not said: the file :data:`DEFAULT_FILE` if nothing else is given and it is there; else the ports :data:`DEFAULT_PORTS`
if none is given; and :data:`DEFAULT_LISTENER` if no listener is, with devices :data:`VALUES_LISTENER` too, and with the
demo :data:`DEMO_LISTENER`. The profiles and devices of the folder ``devices.d`` beside the file are the file's too.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Final

import attrs
from attrs import frozen

from lumina_twisted.config.configuration import Configuration, Draft
from lumina_twisted.config.devices_folder import add_devices_folder
from lumina_twisted.config.toml_file import add_document, read_toml
from lumina_twisted.config.words import (
    add_limit_words,
    add_listen_word,
    add_log_words,
    add_port_word,
    add_values_words,
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
    :param ports: the ``--port`` words.
    :param listeners: the ``--listen`` words.
    :param limits: the ``--limit`` words.
    :param log: the ``--log`` words.
    :param values: the ``--values`` words.
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
    """The path of the file that is read, or nothing."""
    if given.file:
        return given.file
    bare = not (given.ports or given.listeners or given.demo)
    return default if bare and pathlib.Path(default).exists() else ""


def compose(given: Given, default_file: str = DEFAULT_FILE) -> Configuration:
    """The configuration.

    :raises ConfigError: with all its faults.
    """
    draft = Draft(DEMO_PORTS if given.demo else ())
    if given.demo:
        from lumina_twisted.config.demo import DEVICES  # brings the simulator

        draft.descriptions.add({"devices": DEVICES}, "--demo: ")
        draft.values = attrs.evolve(draft.values, database="")  # a demo leaves nothing behind
    file = file_used(given, default_file)
    if file:
        add_document(draft, read_toml(file))
        add_devices_folder(draft, file)
    for word in given.ports:
        add_port_word(draft, word)
    for word in given.listeners:
        add_listen_word(draft, word)
    add_limit_words(draft, given.limits)
    add_log_words(draft, given.log)
    add_values_words(draft, given.values)
    _add_defaults(draft, given, file)
    return draft.finish()


def _add_defaults(draft: Draft, given: Given, file: str) -> None:
    if not (file or given.ports or given.demo):
        for path in DEFAULT_PORTS:
            add_port_word(draft, path)
    if not draft.listeners and not draft.faults:
        add_listen_word(draft, DEFAULT_LISTENER)
        if draft.descriptions:
            add_listen_word(draft, VALUES_LISTENER)
        if given.demo:
            add_listen_word(draft, DEMO_LISTENER)
