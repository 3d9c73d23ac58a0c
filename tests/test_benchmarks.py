"""The benchmarks' machinery, without a measurement: tables, plot, results that are kept, a page that cannot drift."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import re
import shlex
from typing import Any
from unittest import mock
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from benchmarks import build, report, run
from benchmarks.attempt import attempted, gaps
from benchmarks.build import CannotMeasure
from benchmarks.length import QUICK, Figures, Length
from benchmarks.plot import svg
from benchmarks.results import PUBLISHED, Results, new_results
from benchmarks.rig import parsed
from benchmarks.sharing_plot import sharing_svg
from benchmarks.tables import FIGURE, SHARING_FIGURE, section

ROOT = pathlib.Path(__file__).parent.parent


def load(rps: float = 20.0, ok: int = 100, **more: float) -> Figures:
    """What a load counts."""
    bus = {"answered": ok, "early": more.pop("early", 0), "collision": 0, "utilisation": more.pop("utilisation", 0.9)}
    counts = {"rps": rps, "ok": ok, "errors": 0, "exceptions": 0, "wrong": 0, "closed": 0, "cpu_us": 100.0}
    return {**counts, "bus": bus, **more}


def canned_sharing() -> Figures:
    """A crowd of one and one of fifty."""
    ways = {"shared": load(20, utilisation=0.9), "unshared": load(19, utilisation=0.8), "peer": load(23, early=9)}
    crowded = {"shared": load(1040, utilisation=0.99), "unshared": load(18), "peer": load(21)}
    merged = {"merged": load(360, early=1), "shared": load(37), "peer": load(44)}
    return {
        "same": {"alone": 20.0, "registers": 10, "clients": {"1": ways, "50": crowded}},
        "neighbours": {"alone": 40.0, "registers": 1, "clients": {"50": merged}},
    }


def canned_dead() -> Figures:
    """A unit beside dead ones, a port beside a dead one."""
    times: Figures = {"p50_ms": 40.4, "p99_ms": 90.0, "max_ms": 99.9}
    asked = {"ok": 0, "exceptions": 120, "errors": 30, "seconds": 10.0}

    def point(rps: float, **more: Any) -> Figures:
        made = {**load(rps), **times, **more}
        return {**made, "bus": {**made["bus"], "elapsed": 5.0}}

    return {
        "unit": {
            "lumina": {"0": point(20), "3": point(19, dead=asked)},
            "peer": {"0": point(20), "1": point(2, dead=asked)},
        },
        "port": {"0": point(21), "3": point(21, dead=asked)},
    }


def canned() -> Results:
    """Of a run that nobody made, with figures that occur once."""
    speeds = {"9600": 0.911, "19200": 0.922, "115200": 0.933}
    rounds = [(6000.0, 110.0, 3000.0), (7000.0, 120.0, 3500.0), (6600.0, 130.0, 3000.0)]
    return Results(
        about={
            "date": "2026-01-02 03:04", "length": {"seconds": 20.0, "rounds": 3, "starts": 3},
            "machine": {"processor": "Abacus", "cores": 3, "virtual": False, "system": "Linux 1", "load": 0.1},
            "versions": {"python": "3.14.1", "twisted": "27.1.0", "lumina_twisted": "1", "pymodbus": "5"},
        },
        measured={
            "wire": {
                speed: {
                    "lumina": load(utilisation=share, ok=1234), "modbus_tcp": load(utilisation=share - 0.1, ok=1000),
                    "peer": load(early=77, ok=78),
                }
                for speed, share in speeds.items()
            },
            "ports": {
                "1": {"least": 0.95, "mean": 0.96, "cores": 0.11, "rps": 120.0, "wrong": 0, "early": 1},
                "8": {"least": 0.93, "mean": 0.94, "cores": 0.4, "rps": 980.0, "wrong": 0, "early": 2},
            },
            "sharing": canned_sharing(),
            "dead": canned_dead(),
            "writes": {
                "transaction_ms": 47.1, "write_ms": 27.4,
                "lumina": {"count": 80, "p50_ms": 38.2, "p99_ms": 44.4, "max_ms": 1044.0},
            },
            "faults": {"in smoke": {speed: load(12.3, 500, errors=1, wrong=2) for speed in speeds}},
            "overhead": {
                "rounds": [
                    {
                        "lumina": load(a, cpu_us=b), "modbus_tcp": load(a + 900, cpu_us=b),
                        "unshared": load(a + 1000, cpu_us=b + 1), "peer": load(c, cpu_us=200.0),
                    }
                    for a, b, c in rounds
                ]
            },
            "crowd": {"clients": 1000, "base": 50 * 2**20, "full": 52 * 2**20, "talked": load()},
            "startup": {"lumina": [0.5, 0.7, 0.6], "python": [0.01, 0.03, 0.02]},
            "values": {
                "points": 2000, "devices": 100, "ports": 4, "transaction_ms": 9.56,
                "poller": {"oldest": 1.234, "looks": 9, "cores": 0.1, "share": 0.25, "memory": 2**26},
                "clients": {**load(p50_ms=9.8, p99_ms=12.3), "cores": 0.2, "share": 0.0, "memory": 2**26},
                "both": {
                    **load(p50_ms=10.1, p99_ms=22.2), "oldest": 1.5, "looks": 9, "cores": 0.3, "share": 0.25,
                    "memory": 2**26,
                },
                "arrival": {"count": 17, "p50_ms": 501.2, "max_ms": 999.9, "poll_ms": 1000.0},
            },
        },
    )


def texts(plot: str) -> set[str]:
    """All that is written in a plot."""
    return {"".join(one.itertext()) for one in ElementTree.fromstring(plot).iter("{http://www.w3.org/2000/svg}text")}


class TableTests(SynchronousTestCase):
    """The page of figures."""

    def test_figures(self) -> None:
        """Each row of each table."""
        shown = section(canned())
        for row in (
            "| 19200 baud | 0.922 | 0.822 | 0 of 2,234 | 0 | 0 | 77 of 78 |",
            "| in smoke | 6 | 3 of 1,503 | 12.3 | 12.3 | 12.3 |",
            "| the poller alone | 1.23 | 0.250 | - | - | 0.10 | 64 |",
            "| a client of each port alone | - | - | 9.8 | 12.3 | 0.20 | 64 |",
            "| both | 1.50 | 0.250 | 10.1 | 22.2 | 0.30 | 64 |",
            "| commands a second | 6,600 (6,000 to 7,000) | 7,500 (6,900 to 7,900)"
            " | 7,600 (7,000 to 8,000) | 3,000 (3,000 to 3,500)"
            " | 2.30 (2.26 to 2.50) |",
            "| processor time a command, µs | 120 (110 to 130) | 120 (110 to 130)"
            " | 121 (111 to 131) | 200 (200 to 200)"
            " | 0.60 (0.55 to 0.65) |",
            "| 1 client | 20 (1.00) | 19 (0.95) | 23 (1.15) | 0.800 | 0 | 0 |",
            "| 50 clients | 1,040 (52.00) | 18 (0.90) | 21 (1.05) | 0.900 | 0 | 0 |",
            "| 50 clients | 360 (9.00) | 37 (0.93) | 44 (1.10) | 0.900 | 0 | 1 |",
            "| Lumina, alone | 20.0 | 1.00 | 40 | 90 | 100 | 0.002 | - |",
            "| Lumina, beside 3 clients of a dead unit | 19.0 | 0.95 | 40 | 90 | 100 | 0.002 | 15.0 |",
            "| a gateway on pymodbus, beside 1 client of a dead unit | 2.0 | 0.10 | 40 | 90 | 100 | 0.002 | 15.0 |",
            "| Lumina, two ports, beside 3 clients of a port whose device is gone | 21.0 | 1.00 | 40 | 90 | 100 | 0.002"
            " | 15.0 |",
            "| 1 | 0.950 | 0.960 | 0.11 | 120 | 0 | 1 |", "| 8 | 0.930 | 0.940 | 0.40 | 980 | 0 | 2 |",
            "| until it is answered | 38 | 44 | 1,044 | 80 |",
            "| memory without a client | 50 MiB |", "| for each client | 2.0 KiB |",
            "| from the start of the process to its first answer | 600 (500 to 700) |",
            "| `python -c pass` beside it | 20 (10 to 30) |",
        ):
            self.assertIn(row + "\n", shown)
        self.assertIn("on 2026-01-02, 20 s a load, on a machine with 3 cores (Abacus), Python 3.14.1, Twisted", shown)

    def test_rows_are_as_long_as_their_heads(self) -> None:
        """A cell too many would not be shown."""
        for table in re.findall(r"(?:^\|.*\n)+", section(canned()), re.MULTILINE):
            self.assertEqual(len({row.count("|") for row in table.splitlines()}), 1, table)

    def test_a_part_that_failed(self) -> None:
        """It says so in its place, and the others are shown."""
        results = canned()
        del results.measured["wire"]
        results.failed["wire"] = "there is no gcc"
        shown = section(results)
        self.assertIn("\n`wire` was not measured: there is no gcc\n", shown)
        self.assertIn("| commands a second | 6,600", shown)

    def test_a_point_that_failed(self) -> None:
        """Its cells are empty, the reason stands below, and the other points are shown."""
        results = canned()
        results.measured["sharing"]["neighbours"]["clients"]["50"]["peer"] = {"failed": "50 clients, peer: it rains"}
        results.measured["dead"]["unit"]["peer"]["0"] = {"failed": "the peer alone: it snows"}
        results.measured["ports"]["8"] = {"failed": "8 ports: it hails"}
        results.measured["writes"]["lumina"] = {"failed": "writes: it is dark"}
        shown = section(results)
        for text in (
            "| 50 clients | 360 (9.00) | 37 (0.93) | - | 0.900 | 0 | 1 |\n\n"
            "Not measured: 50 clients, peer: it rains\n\n",
            "| a gateway on pymodbus, alone | - | - | - | - | - | - | - |\n",
            "| a gateway on pymodbus, beside 1 client of a dead unit | 2.0 | - | 40 | 90 | 100 | 0.002 | 15.0 |\n",
            "\n\nNot measured: the peer alone: it snows\n\n",
            "| 8 | - | - | - | - | - | - |\n\nNot measured: 8 ports: it hails\n",
            "\nNot measured: writes: it is dark\n",
        ):
            self.assertIn(text, shown)

    def test_shared_machines(self) -> None:
        """A virtual one is said to be one."""
        results, warning = canned(), "compare figures of one run only"
        self.assertNotIn(warning, section(results).replace("\n", " "))
        results.about["machine"]["virtual"] = True
        self.assertIn(warning, section(results).replace("\n", " "))


class PlotTests(SynchronousTestCase):
    """The SVG."""

    def test_figures(self) -> None:
        """They are written in it as text, it is small, and the same each time."""
        plot = svg(canned())
        expected = {"9600 baud", "0.911", "0.922", "0.933", "6,600 a second, 120 µs of processor time each"}
        self.assertEqual(expected - texts(plot), set())
        self.assertLess(len(plot), 20_000)
        self.assertEqual(svg(canned()), plot)

    def test_sharing(self) -> None:
        """So is the second: each line has its name and last figure at its end."""
        plot = sharing_svg(canned_sharing())
        expected = {"1 client", "50", "1,000", "Lumina: 1,040", "Lumina, unshared: 18", "a gateway on pymodbus: 21",
                    "Lumina, merged: 360", "Lumina: 37", "a gateway on pymodbus: 44"}
        self.assertEqual(expected - texts(plot), set())
        self.assertLess(len(plot), 30_000)
        self.assertEqual(sharing_svg(canned_sharing()), plot)

    def test_sharing_with_gaps(self) -> None:
        """What failed, or read nothing, has no point."""
        found = canned_sharing()
        found["same"]["clients"]["50"]["peer"] = {"failed": "it rains"}
        found["neighbours"]["clients"]["50"]["merged"]["rps"] = 0.0
        written = texts(sharing_svg(found))
        self.assertIn("a gateway on pymodbus: 23", written)
        self.assertNotIn("Lumina, merged", " ".join(written))

    def test_dark_pages(self) -> None:
        """Whatever is written in ink is meant by the rule for dark pages."""
        for plot in (svg(canned()), sharing_svg(canned_sharing())):
            self.assertIn('@media (prefers-color-scheme: dark) { [style*="fill: #1f2328"] { fill: #', plot)
            ink = re.findall(r'<text style="[^"]*fill: #1f2328', plot)
            self.assertEqual(len(ink), plot.count("<text"))

    def test_nothing_measured(self) -> None:
        """No fault."""
        self.assertIn("</svg>", svg(Results(about={})))


class PublishedTests(SynchronousTestCase):
    """What is committed."""

    def test_page(self) -> None:
        """It is what `benchmarks.report` makes of the published results; if not, run that."""
        readme = (ROOT / report.PAGE).read_text()
        self.assertEqual(report.spliced(readme, section(Results.load(PUBLISHED))), readme)

    def test_plot(self) -> None:
        """It says the same; its lines may differ with matplotlib's version."""
        results = Results.load(PUBLISHED)
        committed = (ROOT / FIGURE).read_text()
        self.assertEqual(texts(committed), texts(svg(results)))
        if "sharing" in results.measured:
            committed = (ROOT / SHARING_FIGURE).read_text()
            self.assertEqual(texts(committed), texts(sharing_svg(results.measured["sharing"])))

    def test_whole(self) -> None:
        """All parts were measured, and none failed; no path of the machine stands there."""
        results = Results.load(PUBLISHED)
        self.assertEqual((set(results.measured), results.failed), (set(run.PARTS), {}))
        self.assertEqual(list(gaps(results.measured)), [])
        self.assertNotIn("/tmp", PUBLISHED.read_text())

    def test_publish(self) -> None:
        """Only what is between the markers changes, and the results are kept."""
        root = pathlib.Path(self.mktemp())
        (root / "docs").mkdir(parents=True)
        (root / report.PAGE).write_text(f"above\n{report.BEGIN}old\n{report.END}below\n")
        with contextlib.redirect_stderr(io.StringIO()):
            report.publish(canned(), root, root / "kept.json")
        expected = f"above\n{report.BEGIN}{section(canned())}{report.END}below\n"
        self.assertEqual((root / report.PAGE).read_text(), expected)
        self.assertEqual((root / FIGURE).read_text(), svg(canned()))
        self.assertEqual((root / SHARING_FIGURE).read_text(), sharing_svg(canned_sharing()))
        self.assertEqual(Results.load(root / "kept.json"), canned())

    def test_no_markers(self) -> None:
        """A sentence says which are needed."""
        for readme in ("nothing", report.BEGIN, report.END):
            refused = self.assertRaises(ValueError, report.spliced, readme, "")
            self.assertIn("<!-- bench: begin -->", str(refused))

    def test_no_results(self) -> None:
        """A file that holds something else, or is not there, is a sentence and status 1."""
        path = pathlib.Path(self.mktemp())
        for text in (None, "{", "[]", '{"format": 9, "about": {}}', '{"format": 1, "what": 1}'):
            if text is not None:
                path.write_text(text)
            with contextlib.redirect_stderr(io.StringIO()) as said:
                self.assertEqual(report.main(["--print", str(path)]), 1)
            self.assertIn("holds no results of the benchmarks", said.getvalue())


class RunTests(SynchronousTestCase):
    """A run, with parts that measure nothing."""

    def setUp(self) -> None:
        """A file to write."""
        self.path = pathlib.Path(self.mktemp()) / "some.json"
        self.said = io.StringIO()

    def measure(self, results: Results, **parts: run.Part) -> None:
        """Runs these parts."""
        with contextlib.redirect_stderr(self.said):
            run.measure(parts, QUICK, results, self.path)

    def test_a_part_that_fails(self) -> None:
        """The next runs all the same; each failure is a sentence, and all is in the file."""

        def no_compiler(length: Length) -> Figures:
            raise CannotMeasure("there is no gcc")

        def broken(length: Length) -> Figures:
            raise ZeroDivisionError("by zero")

        self.measure(canned(), wire=no_compiler, faults=broken, crowd=lambda length: {"seconds": length.seconds})
        kept = Results.load(self.path)
        self.assertEqual(kept.failed, {"wire": "there is no gcc", "faults": "ZeroDivisionError: by zero"})
        self.assertEqual(kept.measured["crowd"], {"seconds": 2.0})
        self.assertIn("wire failed: there is no gcc\n", self.said.getvalue())

    def test_written_after_each_part(self) -> None:
        """What Ctrl-C interrupts does not lose what came before."""

        def interrupted(length: Length) -> Figures:
            raise KeyboardInterrupt

        empty = Results(about={})
        self.assertRaises(KeyboardInterrupt, self.measure, empty, crowd=lambda length: {"a": 1}, wire=interrupted)
        self.assertEqual(Results.load(self.path).measured, {"crowd": {"a": 1}})

    def test_again(self) -> None:
        """A part that failed is measured again into the same file."""
        results = canned()
        results.failed["wire"] = "there is no gcc"
        self.measure(results, wire=lambda length: {"a": 1})
        kept = Results.load(self.path)
        self.assertEqual((kept.failed, kept.measured["wire"]), ({}, {"a": 1}))
        self.assertEqual(kept.measured["crowd"], canned().measured["crowd"])

    def test_a_point_that_fails(self) -> None:
        """Its reason is kept in its place; what is no matter of measuring ends the part."""

        def no_compiler() -> Figures:
            raise CannotMeasure("there is no gcc")

        with contextlib.redirect_stderr(self.said):
            got = {"1": attempted("one", no_compiler), "2": attempted("two", dict)}
        self.assertEqual(got, {"1": {"failed": "one: there is no gcc"}, "2": {}})
        self.assertEqual(list(gaps({"deep": [got]})), ["one: there is no gcc"])
        self.assertIn("one failed: there is no gcc\n", self.said.getvalue())
        self.assertRaises(ZeroDivisionError, attempted, "three", lambda: {"a": 1 / 0})

    def test_a_run_with_a_gap_is_not_published(self) -> None:
        """Though each part has figures; the status says that something failed."""
        found = canned().measured
        found["sharing"]["same"]["clients"]["50"]["peer"] = {"failed": "50 clients, peer: it rains"}
        status, published, printed = self.main(found=found)
        self.assertEqual((status, published), (1, []))
        self.assertIn("\nNot measured: 50 clients, peer: it rains\n", printed)

    def main(self, *words: str, failing: str = "", found: Figures | None = None) -> tuple[int, list[Results], str]:
        """The exit status of a run whose parts find canned figures, what it published, and what it printed."""

        def part(name: str) -> run.Part:
            def measured(length: Length) -> Figures:
                if name == failing:
                    raise CannotMeasure("it rains")
                return (found or canned().measured)[name]

            return measured

        published: list[Results] = []
        parts = {name: part(name) for name in run.PARTS}
        with (
            mock.patch.object(run, "PARTS", parts), mock.patch.object(run, "FOLDER", self.path.parent),
            mock.patch.object(run, "publish", published.append), contextlib.redirect_stderr(self.said),
            contextlib.redirect_stdout(io.StringIO()) as printed,
        ):
            status = run.main(words)
        return status, published, printed.getvalue()

    def test_a_whole_run_is_published(self) -> None:
        """And leaves its file."""
        status, (published,), printed = self.main()
        self.assertEqual((status, printed, published.measured), (0, "", canned().measured))
        (path,) = self.path.parent.iterdir()
        self.assertEqual(Results.load(path), published)

    def test_other_runs_are_printed(self) -> None:
        """A quick one, some parts, or one of which a part failed."""
        for words, failing, expected in ((["--quick"], "", 0), (["wire"], "", 0), ([], "wire", 1)):
            status, published, printed = self.main(*words, failing=failing)
            self.assertEqual((status, published), (expected, []), words)
            self.assertIn("`wire` was not measured: it rains" if failing else "| 9600 baud |", printed)

    def test_about(self) -> None:
        """Machine and versions are found, whatever they are here."""
        results = new_results(QUICK)
        self.assertTrue(results.about["machine"]["processor"])
        self.assertEqual(results.about["length"], {"seconds": 2.0, "rounds": 2, "starts": 3})
        self.assertRegex(section(results), r"^Made by `make bench` on \d{4}-\d\d-\d\d, 2 s a load, on a ")


class CommandLineTests(SynchronousTestCase):
    """`benchmarks.run`."""

    def test_parts(self) -> None:
        """In the order of a run; all if none is named."""
        found = run.parse(["overhead", "wire", "--seconds", "6"])
        self.assertEqual((found.parts, found.length), (["wire", "overhead"], Length(seconds=6.0)))
        self.assertEqual(run.parse(["--only", "overhead", "wire"]).parts, ["wire", "overhead"])
        self.assertEqual(run.parse([]).parts, list(run.PARTS))
        self.assertEqual(run.parse(["--quick"]).length, QUICK)

    def test_documented(self) -> None:
        """Each command line of the page is one."""
        page = (ROOT / "docs" / "benchmarks.md").read_text()
        shown = re.findall(r"`python -m benchmarks\.run ([^`]*)`", page)
        shown += re.findall(r'BENCH="([^"]*)"', page + (ROOT / "Makefile").read_text())
        self.assertGreater(len(shown), 4)
        for words in shown:
            self.assertTrue(run.parse(shlex.split(words)).parts)
        for part in run.PARTS:
            self.assertIn(f"\n| `{part}` |", page)

    def test_refused(self) -> None:
        """With status 2 and a sentence."""
        for words, sentence in (
            (["wires"], "there is no part 'wires'; there are wire, ports, sharing,"),
            (["--seconds", "0"], "'0' is no time to measure for; give 1 to 3600 seconds"),
            (["--seconds", "soon"], "'soon' is no time to measure for"),
            (["--quick", "--seconds", "3"], "give one of --quick, --seconds and --add-to"),
        ):
            with contextlib.redirect_stderr(io.StringIO()) as said:
                ended = self.assertRaises(SystemExit, run.parse, words)
            self.assertEqual(ended.code, 2)
            self.assertIn(sentence, said.getvalue())


class RigTests(SynchronousTestCase):
    """What the machine may lack."""

    def test_no_compiler(self) -> None:
        """A sentence says what to install."""
        self.patch(build, "BIN", pathlib.Path(self.mktemp()))
        with mock.patch.dict(os.environ, {"PATH": "/nowhere"}):
            refused = self.assertRaises(CannotMeasure, build.build)
        self.assertIn("there is no gcc; install it", str(refused))

    def test_no_figures(self) -> None:
        """A program that ends without them is named."""
        self.assertIn("busim ended without its figures", str(self.assertRaises(CannotMeasure, parsed, "", "busim")))
