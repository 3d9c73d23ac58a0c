"""The floors hold: imports point down, absolutely, without a circle, and only a few modules know the global reactor."""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Iterator, Mapping

from twisted.trial.unittest import SynchronousTestCase

PACKAGE = "lumina_twisted"
ROOT = pathlib.Path(__file__).parent.parent / PACKAGE

FLOORS = (
    {"__init__", "document", "errors", "framing", "lineproto", "modbus", "priority", "schema", "text", "valueproto"},
    {"access", "bus", "statistics"},
    {"awaiting", "files", "log", "ports", "reconnecting", "simulator"},
    {"client", "devices"},
    {"frontends", "helpers", "testing"},
    {"cli", "config", "tap"},
)
FLOOR_OF = {name: number for number, names in enumerate(FLOORS) for name in names}
SIDEWAYS = {
    ("log", "files"), ("ports", "reconnecting"), ("simulator", "files"), ("simulator", "ports"),
    ("testing", "frontends"),
}
"""What may be imported from the same floor, on the floors whose folders stand apart (2, 3 and 4)."""
FOR_CLIENTS = {"client", "reconnecting"}
"""What a client may import above floor 0: how connections are kept is the same for ports."""
IMPURE = {"twisted", "zope", "serial", "time", "datetime", "socket", "select", "asyncio", "threading", "random"}
"""What floors 0 and 1 do without."""
WITH_REACTOR = {"awaiting", "cli", "client", "helpers", "tap"}
"""Who may know the global reactor. A client, a retry and a pool of connections live in a user's program, and take its
reactor if it names none."""


def violations(root: pathlib.Path) -> list[str]:
    """Every import below ``root`` that breaks a rule, as ``file: sentence``."""
    return [
        f"{path.relative_to(root)}:{line}: {fault}"
        for path in sorted(root.rglob("*.py"))
        for line, fault in _faults(_part(path.relative_to(root)), ast.parse(path.read_text()))
    ]


def _part(path: pathlib.Path) -> str:
    """The folder or the module right below the package, which decides the floor."""
    return path.parts[0].removesuffix(".py")


def _faults(part: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    if part not in FLOOR_OF:
        yield 1, f"{part} stands on no floor"
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield node.lineno, "a relative import"
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for name in _imported(node):
                for fault in _judged(part, name):
                    yield node.lineno, fault


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    for alias in node.names:
        yield alias.name if isinstance(node, ast.Import) else f"{node.module}.{alias.name}"


def _judged(part: str, name: str) -> Iterator[str]:
    own, _, rest = name.partition(".")
    if own == PACKAGE:
        yield from _judged_own(part, rest.partition(".")[0])
    elif FLOOR_OF[part] <= 1 and own in IMPURE:
        yield f"floor {FLOOR_OF[part]} does without {own}"
    elif f"{name}.".startswith("twisted.internet.reactor.") and part not in WITH_REACTOR:
        yield "the global reactor"


def _judged_own(part: str, target: str) -> Iterator[str]:
    floor, below = FLOOR_OF[part], FLOOR_OF.get(target, 0)
    if below > floor:
        yield f"upward, from floor {floor} to {target} on floor {below}"
    elif below == floor and floor in (2, 3, 4) and part != target and (part, target) not in SIDEWAYS:
        yield f"sideways, from {part} to {target}"
    elif part == "client" and target not in FOR_CLIENTS and below > 0:
        yield f"the client imports floor 0 only, not {target}"


def circles(root: pathlib.Path) -> list[set[str]]:
    """Modules that import each other, directly or by way of others. An import for type checkers only counts, too."""
    modules = {_module(path, root): path for path in root.rglob("*.py")}
    imports = {name: set(_own_imports(path, modules)) for name, path in modules.items()}
    found = []
    while _drop_free(imports):
        way = [next(iter(imports))]
        while way.count(way[-1]) < 2:  # each of these imports another of them, so the way comes back to itself
            way.append(min(imports[way[-1]] & imports.keys()))
        found.append(set(way[way.index(way[-1]):]))
        for name in found[-1]:
            del imports[name]
    return found


def _drop_free(imports: dict[str, set[str]]) -> bool:
    """Takes out, again and again, what imports nothing that is left; whether something stays."""
    while free := [name for name, needs in imports.items() if not needs & imports.keys()]:
        for name in free:
            del imports[name]
    return bool(imports)


def _module(path: pathlib.Path, root: pathlib.Path) -> str:
    return ".".join((PACKAGE, *path.relative_to(root).with_suffix("").parts)).removesuffix(".__init__")


def _own_imports(path: pathlib.Path, modules: Mapping[str, pathlib.Path]) -> Iterator[str]:
    """A name that is imported from a package is the package's, unless it is a module of that name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.Import, ast.ImportFrom)) and not getattr(node, "level", 0):
            for name in _imported(node):
                yield from {name if name in modules else name.rpartition(".")[0]} & modules.keys()


class TheHouse(SynchronousTestCase):
    """The package as it is."""

    def test_no_violation(self) -> None:
        self.assertEqual(violations(ROOT), [])

    def test_no_circle(self) -> None:
        self.assertEqual(circles(ROOT), [])

    def test_every_folder_is_a_package(self) -> None:
        """A folder without ``__init__.py`` would be left out of type checks."""
        folders = {path.parent for path in ROOT.rglob("*.py")}
        self.assertEqual([str(one) for one in folders if not (one / "__init__.py").exists()], [])


class Planted(SynchronousTestCase):
    """Each kind of violation is found."""

    def found(self, path: str, source: str) -> list[str]:
        root = pathlib.Path(self.mktemp())
        file = root / path
        file.parent.mkdir(parents=True)
        file.write_text(source)
        return [one.partition(": ")[2] for one in violations(root)]

    def test_upward(self) -> None:
        for source in (
            "import lumina_twisted.ports.pool",
            "from lumina_twisted.ports.pool import PortPool",
            "from lumina_twisted import ports",
            "def late():\n    from lumina_twisted.ports import pool",
        ):
            self.assertEqual(self.found("bus/bus.py", source), ["upward, from floor 1 to ports on floor 2"], source)

    def test_sideways(self) -> None:
        for part, target in (
            ("frontends", "testing"), ("helpers", "testing"), ("devices", "client"), ("ports", "simulator"),
            ("log", "ports"),
        ):
            source = f"from lumina_twisted.{target} import anything"
            self.assertEqual(self.found(f"{part}/x.py", source), [f"sideways, from {part} to {target}"])

    def test_sideways_that_is_allowed(self) -> None:
        for part, target in (
            ("simulator", "ports"), ("testing", "frontends"), ("frontends", "frontends"), ("modbus", "errors"),
            ("tap", "config"),
        ):
            self.assertEqual(self.found(f"{part}/x.py", f"from lumina_twisted.{target} import anything"), [])

    def test_relative(self) -> None:
        for source in ("from . import queue", "from .queue import Queue", "from ..modbus import pdu"):
            self.assertEqual(self.found("bus/bus.py", source), ["a relative import"], source)

    def test_circle(self) -> None:
        root = pathlib.Path(self.mktemp())
        for path, source in (
            ("bus/queue.py", "from lumina_twisted.bus.wire import Wire"),
            ("bus/wire.py", "if TYPE_CHECKING:\n    from lumina_twisted.bus import pace"),
            ("bus/pace.py", "def late():\n    import lumina_twisted.bus.queue"),
            ("bus/echo.py", "from lumina_twisted.bus.queue import Queue"),
            ("modbus/crc.py", ""),
        ):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(source)
        names = {f"{PACKAGE}.bus.{one}" for one in ("queue", "wire", "pace")}
        self.assertEqual(circles(root), [names])
        (root / "bus/pace.py").write_text("")
        self.assertEqual(circles(root), [])

    def test_global_reactor(self) -> None:
        for source in (
            "from twisted.internet import reactor",
            "from twisted.internet import defer, reactor",
            "import twisted.internet.reactor",
            "from twisted.internet.reactor import callLater",
            "def late():\n    from twisted.internet import reactor",
        ):
            self.assertEqual(self.found("ports/pool.py", source), ["the global reactor"], source)
            self.assertEqual(self.found("config/daemon.py", source), ["the global reactor"], source)
            self.assertEqual(self.found("tap.py" if "late" in source else "cli/main.py", source), [])

    def test_floors_0_and_1_are_pure(self) -> None:
        self.assertEqual(self.found("bus/bus.py", "import time"), ["floor 1 does without time"])
        self.assertEqual(
            self.found("modbus/x.py", "from twisted.internet.defer import Deferred"), ["floor 0 does without twisted"]
        )

    def test_client_imports_floor_0_only(self) -> None:
        source = "from lumina_twisted.ports.settings import PortSettings"
        self.assertEqual(self.found("client/x.py", source), ["the client imports floor 0 only, not ports"])

    def test_module_without_a_floor(self) -> None:
        self.assertEqual(self.found("utilities.py", ""), ["utilities stands on no floor"])
