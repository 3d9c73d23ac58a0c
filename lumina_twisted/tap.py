"""``twistd lumina``: its options and its service, floor 5."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any, ClassVar

import attrs
from twisted.application.service import IService
from twisted.python import usage

from lumina_twisted import __version__
from lumina_twisted.config import process  # noqa: F401 - records signals during the slow imports below
from lumina_twisted.config.compose import DEFAULT_FILE, DEMO_LISTENER, Given, compose, file_used
from lumina_twisted.config.configuration import Configuration
from lumina_twisted.config.daemon import Daemon
from lumina_twisted.config.reporting import DaemonLog, Operator
from lumina_twisted.errors import ConfigError
from lumina_twisted.frontends.endpoints import tcp_address
from lumina_twisted.text import close_to, shown


class Options(usage.Options):
    """The command line of ``twistd lumina``."""

    synopsis = "[options]"
    longdesc = (
        "Owns serial ports and lets any number of programs read and write the Modbus RTU devices behind them."
        " Without --config, --port, --listen and --demo it reads " + DEFAULT_FILE + " if that is there; else it takes"
        " /dev/ttyAMA2, 3 and 4, and listens for text lines on 127.0.0.1:8888."
    )
    optParameters: ClassVar = [
        ["config", "c", None, "a TOML file with ports and listeners; --port and --listen add to it"],
    ]
    optFlags: ClassVar = [
        ["check", None, "say all that is wrong with the configuration, and exit"],
        ["demo", None, "two simulated buses with devices to try it on"],
    ]

    def __init__(self) -> None:
        super().__init__()
        self.configuration: Configuration | None = None
        self._given: dict[str, list[str]] = {key: [] for key in ("ports", "listeners", "limits", "log", "values")}

    def parseOptions(self, options: Any = None) -> None:
        """Takes the arguments of the command line.

        :raises SystemExit: with status 2, after a sentence, if the arguments are wrong; twistd itself would print all
            its options and report success.
        """
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            raise _refused(f"{error}{self._near(str(error))}; `--help` tells which options there are") from None

    def _near(self, error: str) -> str:
        """For an unknown option, the option that the user probably meant."""
        words = error.split()
        name = words[1].lstrip("-") if words[:1] == ["option"] else ""
        near = close_to(name, [one.rstrip("=") for one in self.longOpt])
        return f"; did you mean --{near}?" if near else ""

    def parseArgs(self, *args: str) -> None:
        """Refuses arguments that belong to no option."""
        if args:
            raise usage.UsageError(f"{args[0]!r} belongs to no option")

    def opt_version(self) -> None:
        """print Lumina's version, and exit"""
        print(f"Lumina {__version__}, Twisted {version('Twisted')}")
        raise SystemExit(0)

    def opt_port(self, text: str) -> None:
        """a serial port, [NAME=]PATH[:key=value]..., such as boiler=/dev/ttyUSB0:baudrate=19200:timeout=0.3; every
        setting of a port can stand there, and a colon in a path is \\:"""
        self._given["ports"].append(text)

    def opt_listen(self, text: str) -> None:
        """a listener, PROTOCOL[,option=value]...=ENDPOINT, such as line=tcp:8888:interface=127.0.0.1 or
        line,dialect=v1,port=boiler=tcp:8889:interface=127.0.0.1"""
        self._given["listeners"].append(text)

    def opt_limit(self, text: str) -> None:
        """a bound of the service, KEY=VALUE, such as open_ports=100"""
        self._given["limits"].append(text)

    def opt_log(self, text: str) -> None:
        """what is logged and where to, KEY=VALUE, such as directory=/var/log/lumina, level=warn, console=json or
        levels.port.boiler=debug"""
        self._given["log"].append(text)

    def opt_values(self, text: str) -> None:
        """how values of devices are read and kept, KEY=VALUE, such as poll_share=0.3 or database=/var/lib/lumina.db"""
        self._given["values"].append(text)

    def postOptions(self) -> None:
        """Makes one checked configuration from all sources.

        :raises SystemExit: with status 2, after the faults have been printed; with 0 after the result of ``--check``.
        """
        given = Given(file=self["config"] or "", demo=bool(self["demo"]), **self._given)
        try:
            self.configuration = compose(given)
        except ConfigError as error:
            raise _refused(*error.faults, *_where_from(given)) from None
        if self["check"]:
            print(shown(f"{file_used(given) or 'the configuration'} is fine: {self.configuration}"))
            raise SystemExit(0)


def _where_from(given: Given) -> list[str]:
    """A hint for an operator who named no file and may not know which file Lumina read."""
    file = file_used(given)
    return [f"this was read from {file}, because no option says what to serve"] if file and not given.file else []


def _refused(*sentences: str) -> SystemExit:
    """Exit status 2: another start would fail too. After status 1, another start may succeed."""
    for sentence in sentences:
        print(f"lumina: {shown(sentence)}", file=sys.stderr)
    return SystemExit(2)


def makeService(options: Options) -> IService:
    """The daemon that the options describe."""
    from twisted.internet import reactor

    configuration = options.configuration
    assert configuration is not None, "the options have been parsed"
    operator = Operator(options.parent is None or bool(options.parent["nodaemon"]))
    log = None if _logs_itself(options) else DaemonLog(configuration.log, reactor)
    if not options["demo"]:
        return Daemon(configuration, reactor, operator=operator, log=log)
    from lumina_twisted.config.demo import DemoService, hints
    from lumina_twisted.config.descriptions import with_lines_of_devices

    demo = DemoService(reactor)
    ports = with_lines_of_devices({**demo.ports, **configuration.ports}, configuration.devices)
    whole = attrs.evolve(configuration, ports=ports)
    lines = _where(configuration, "line") or ("127.0.0.1", 8888)
    has_modbus = any(DEMO_LISTENER.endswith(f"={one.endpoint}") for one in configuration.listeners)
    text = hints(lines, _where(configuration, "values"), has_modbus)
    return Daemon(whole, reactor, also=(demo,), hints=text, operator=operator, log=log)


def _where(configuration: Configuration, protocol: str) -> tuple[str, int] | None:
    """The TCP address of the first listener of a protocol that has one."""
    addresses = (tcp_address(one.endpoint) for one in configuration.listeners if one.protocol == protocol)
    return next(filter(None, addresses), None)


def _logs_itself(options: Options) -> bool:
    """Whether an option gives twistd a log of its own, which replaces Lumina's."""
    return options.parent is not None and any(options.parent.get(one) for one in ("logfile", "syslog", "logger"))
