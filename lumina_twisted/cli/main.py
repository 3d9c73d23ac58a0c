"""The command ``lumina``, floor 5.

Exit status: 0; 1 if the device or the bus said no, or there is no server; 2 if the command line cannot be understood.
What a command needs is imported when it runs, for on a small machine an import takes its time.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from lumina_twisted import __version__
from lumina_twisted.cli import scan, server, values
from lumina_twisted.cli.output import Output
from lumina_twisted.cli.parser import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_REFUSED,
    EXIT_USAGE,
    Parser,
    UsageError,
    add_connection,
    bounded,
)
from lumina_twisted.cli.parser import server as parse_server
from lumina_twisted.client.aio import LuminaModbusClient
from lumina_twisted.errors import ConfigError, LuminaError, RequestError

Ask = Callable[[Any, LuminaModbusClient, Output], Awaitable[int | None]]

_EXAMPLES: Final = """\
  lumina run --demo                                the service, on simulated buses
  lumina read demo1 1 input 0                      a value
  lumina write demo1 2 coil 3 on
  lumina scan demo1 --units 1-10                   which units answer
  lumina console                                   type and see
"""


def build_parser() -> Parser:
    """The whole command line."""
    parser = Parser("lumina", description="Reads and writes Modbus devices through a Lumina server, and runs one.",
                    examples=_EXAMPLES)
    parser.add_argument("--version", action="version", version=f"Lumina {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    _asking(commands, "read", "read values from a device", values.add_read, values.read, values.READ_EXAMPLES)
    _asking(commands, "write", "write values to a device", values.add_write, values.write, values.WRITE_EXAMPLES)
    _asking(commands, "send", "send a frame in hexadecimal digits", values.add_send, values.send, values.SEND_EXAMPLES)
    _asking(commands, "scan", "find out which units answer", scan.add_scan, scan.scan, scan.EXAMPLES)
    _asking(commands, "ports", "tell the server's ports and their state", add_connection, server.ports)
    _asking(commands, "stats", "tell what the server has counted", _add_stats, server.stats)
    _add_console(commands)
    _add_local(commands)
    return parser


def _asking(
    commands: Any, name: str, help_: str, add: Callable[[argparse.ArgumentParser], None], ask: Ask, examples: str = ""
) -> None:
    parser = commands.add_parser(name, help=help_, description=f"{help_[0].upper()}{help_[1:]}.", examples=examples)
    add(parser)
    parser.set_defaults(ask=ask)


def _add_stats(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--watch", type=bounded(0.1, 86400, "pause", float), metavar="SECONDS",
        help="tell it again after so long, for ever",
    )
    add_connection(parser)


def _add_console(commands: Any) -> None:
    parser = commands.add_parser(
        "console", help="type lines and see the answers", description="Talks to a line server until `bye`.",
        examples="  lumina console\n  lumina console 192.168.1.7 8888\n  echo ports | lumina console\n",
    )
    parser.add_argument("host", metavar="HOST", nargs="?", help="where it runs (LUMINA_SERVER, or 127.0.0.1)")
    parser.add_argument("port", metavar="PORT", nargs="?", type=bounded(1, 65535, "TCP port"), help="its port (8888)")


def _add_local(commands: Any) -> None:
    run = commands.add_parser(
        "run", help="run the service in the foreground", add_help=False,
        description="Runs the service; its options are those of `twistd lumina`.",
    )
    run.add_argument("words", nargs=argparse.REMAINDER)
    check = commands.add_parser(
        "check-config", help="say all that is wrong with a configuration",
        description="Says all that is wrong with a configuration file.", examples="  lumina check-config lumina.toml\n",
    )
    check.add_argument("file", metavar="FILE", nargs="?", help="the file (/etc/lumina/lumina.toml)")
    simulate = commands.add_parser(
        "simulate", help="run simulated buses from a file", examples="  lumina simulate etc/simulation.toml\n",
        description="Runs simulated buses, whose devices, values and faults a file describes, until Ctrl-C.",
    )
    simulate.add_argument("file", metavar="FILE", help="a TOML file; docs/simulator.md says what can stand there")
    simulate.add_argument("--verbose", "-v", action="store_true", help="print all that comes over the wires")
    shell = commands.add_parser(
        "completion", help="print a script that completes commands in a shell", description="Prints a shell's script.",
        examples="  lumina completion bash > ~/.local/share/bash-completion/completions/lumina\n",
    )
    shell.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "tcsh"), help="bash, zsh or tcsh")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    :return: the exit status.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    output = Output("--json" in words)
    try:
        return _run(words, output)
    except UsageError as error:
        output.error(error)
        return EXIT_USAGE
    except ConfigError as error:
        output.error(error)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read has enough; the interpreter must not find that out once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def _run(words: list[str], output: Output) -> int:
    if words[:1] == ["run"]:  # twistd has its own parser, --help included
        return server.run(words[1:])
    parser = build_parser()
    options = parser.parse_args(words)
    if options.command == "console":
        return asyncio.run(_console(options, output))
    if options.command in _LOCAL:
        return _LOCAL[options.command](options, parser)
    return asyncio.run(_asked(options, output))


async def _asked(options: Any, output: Output, client: LuminaModbusClient | None = None) -> int:
    """A command that needs a server."""
    own = client or _client(options)
    try:
        await own.connect()
        return await options.ask(options, own, output) or EXIT_OK
    except UsageError as error:
        output.error(error)
        return EXIT_USAGE
    except RequestError as error:
        output.error(error)
        return EXIT_USAGE
    except LuminaError as error:
        output.error(error)
        return EXIT_REFUSED
    finally:
        if client is None:
            await own.close()


def _client(options: Any) -> LuminaModbusClient:
    where = parse_server(options.server or os.environ.get("LUMINA_SERVER") or "127.0.0.1:8888")
    return LuminaModbusClient(where.host, where.port, timeout=getattr(options, "timeout", None) or 5.0)


async def _console(options: Any, output: Output) -> int:
    from lumina_twisted.cli.console import converse

    where = parse_server(options.host or os.environ.get("LUMINA_SERVER") or "127.0.0.1:8888")
    if options.port:
        where.port = options.port
    parser = build_parser()
    client = LuminaModbusClient(where.host, where.port)

    async def run(words: list[str]) -> int:
        try:
            typed = parser.parse_args(words)
        except UsageError as error:
            output.error(error)
            return EXIT_USAGE
        except SystemExit:  # --help
            return EXIT_OK
        return await _asked(typed, Output(typed.json), client)

    try:
        return await converse(where, run, output, sys.stdin)
    finally:
        await client.close()


def _check_config(options: Any, parser: Parser) -> int:
    from lumina_twisted.tap import Options

    try:
        Options().parseOptions(["--check", *(["--config", options.file] if options.file else [])])
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else EXIT_USAGE
    return EXIT_OK


def _simulate(options: Any, parser: Parser) -> int:
    from lumina_twisted.cli.simulate import simulate

    return simulate(options.file, is_verbose=options.verbose)


def _completion(options: Any, parser: Parser) -> int:
    try:
        import shtab
    except ImportError:
        raise UsageError("shell completion needs shtab; `pip install 'lumina_twisted[cli]'` installs it") from None
    print(shtab.complete(parser, options.shell))
    return EXIT_OK


_LOCAL: Final[dict[str, Callable[[Any, Parser], int]]] = {
    "check-config": _check_config, "simulate": _simulate, "completion": _completion,
}
