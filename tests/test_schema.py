"""The strict settings converter."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from attrs import Factory, field, frozen
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.errors import ConfigError
from lumina_twisted.schema import Between, UnitId, required, setting, structure, structure_text


@frozen(kw_only=True, slots=False)
class Inner:
    """A table in a table."""

    retries: Annotated[int, Between(0, 9)] = setting(2, "how often")


@frozen(kw_only=True, slots=False)
class Outer:
    """One key of each kind."""

    path: str = required("where")
    speed: int = setting(9600, "how fast", unit="baud")
    timeout: Annotated[float, Between(0, 60)] = setting(0.5, "how long", unit="s")
    gap: float | None = setting(None, "how long between", unit="s")
    exclusive: bool = setting(True, "alone")
    parity: Literal["N", "E"] = setting("N", "parity")
    bits: Literal[7, 8] = setting(8, "bits")
    units: dict[UnitId, Inner] = field(default=Factory(dict))


@frozen(kw_only=True)
class Listed:
    """One list."""

    speeds: tuple[Annotated[int, Between(1, 9)], ...] = setting((), "speeds")


@frozen(kw_only=True)
class Measured:
    """A key of several words."""

    unit_of_measure: str = setting("", "of the value")


class SchemaTests(SynchronousTestCase):
    """What is common to both forms."""

    def faults(self, data: Any, path: str = "ports.boiler", text: bool = False) -> set[str]:
        error = self.assertRaises(ConfigError, structure_text if text else structure, data, Outer, path)
        self.assertEqual(str(error), "\n".join(error.faults))
        return set(error.faults)

    def one_fault(self, text: bool = False, **data: Any) -> str:
        (fault,) = self.faults({"path": "/dev/x", **data}, "p", text)
        return fault


class TypedValues(SchemaTests):
    """``structure``, for what a TOML file holds."""

    def test_defaults(self) -> None:
        self.assertEqual(structure({"path": "/dev/x"}, Outer), Outer(path="/dev/x"))

    def test_every_key(self) -> None:
        made = structure(
            {
                "path": "/dev/x", "speed": 19200, "timeout": 2, "gap": 0.1, "exclusive": False, "parity": "E",
                "bits": 7, "units": {"17": {"retries": 0}},
            },
            Outer,
        )
        self.assertEqual(
            made,
            Outer(
                path="/dev/x", speed=19200, timeout=2.0, gap=0.1, exclusive=False, parity="E", bits=7,
                units={UnitId(17): Inner(retries=0)},
            ),
        )
        self.assertIsInstance(made.timeout, float)

    def test_all_faults_at_once(self) -> None:
        self.assertEqual(
            self.faults({"sped": 1, "timeout": 61, "parity": "X", "units": {"3": {"retrys": 1}, "300": {}}}),
            {
                "ports.boiler.path: this key is required",
                "ports.boiler.sped: unknown key; did you mean 'speed'?",
                "ports.boiler.timeout: expected 0 to 60, got 61.0",
                "ports.boiler.parity: expected one of 'N', 'E', got 'X'",
                "ports.boiler.units.3.retrys: unknown key; did you mean 'retries'?",
                "ports.boiler.units.300: expected a unit identifier from 0 to 255 as the key, got '300'",
            },
        )

    def test_nothing_is_coerced(self) -> None:
        for key, value, sentence in (
            ("speed", "9600", "expected a whole number, got '9600'; take the quotes away: 9600"),
            ("speed", "1_000", "expected a whole number, got '1_000'"),
            ("speed", 9600.0, "expected a whole number, got 9600.0"),
            ("speed", True, "expected a whole number, got True"),
            ("timeout", "1", "expected a number, got '1'; take the quotes away: 1"),
            ("timeout", "-0.5", "expected a number, got '-0.5'; take the quotes away: -0.5"),
            ("timeout", "0,5", "expected a number, got '0,5'"),
            ("timeout", False, "expected a number, got False"),
            ("timeout", float("nan"), "expected a number, got nan"),
            ("timeout", float("inf"), "expected a number, got inf"),
            ("gap", "soon", "expected a number, got 'soon'"),
            ("exclusive", 1, "expected true or false, got 1"),
            ("exclusive", "true", "expected true or false, got 'true'; take the quotes away: true"),
            ("exclusive", "yes", "expected true or false, got 'yes'"),
            ("bits", 8.0, "expected one of 7, 8, got 8.0"),
            ("bits", "8", "expected one of 7, 8, got '8'"),
            ("units", 3, "expected a table, got 3"),
            ("path", 3, "expected a text in quotes, got 3"),
        ):
            self.assertEqual(self.one_fault(**{key: value}), f"p.{key}: {sentence}")

    def test_table_within_a_table(self) -> None:
        self.assertEqual(self.one_fault(units={"1": 5}), "p.units.1: expected a table, got 5")

    def test_lists(self) -> None:
        """Each fault in a list has its number; commas part typed lists."""
        self.assertEqual(structure({"speeds": [1, 2]}, Listed).speeds, (1, 2))
        self.assertEqual(structure_text({"speeds": "1,2"}, Listed).speeds, (1, 2))
        self.assertEqual(structure_text({"speeds": ""}, Listed).speeds, ())
        for read, value, faults in (
            (structure, [1, "x"], ["speeds[1]: expected a whole number, got 'x'"]),
            (structure, [1, 10, 2], ["speeds[1]: expected 1 to 9, got 10"]),
            (structure, "12", ["speeds: expected a list in brackets, got '12'"]),
            (structure, 12, ["speeds: expected a list in brackets, got 12"]),
            (structure_text, "1,x", ["speeds[1]: expected a whole number, got 'x'"]),
        ):
            error = self.assertRaises(ConfigError, read, {"speeds": value}, Listed)
            self.assertEqual(list(error.faults), faults)

    def test_unit_identifiers(self) -> None:
        """One way to write each: no two keys mean the same unit."""
        units = structure({"path": "x", "units": {"0": {}, "255": {}}}, Outer).units
        self.assertEqual(set(units), {0, 255})
        for key in ("256", "-1", "07", "+7", " 7", "7.0", "", "\u0667", "9" * 5000):
            fault = self.one_fault(units={key: {}})
            self.assertEqual(
                fault, f"p.units.{key}: expected a unit identifier from 0 to 255 as the key, got {key!r}"
            )

    def test_bounds_are_told_in_full(self) -> None:
        for bounds, sentence in (
            (Between(1, 10_000_000), "expected 1 to 10000000, got 0"),
            (Between(0.001, 0.5), "expected 0.001 to 0.5, got 0"),
        ):
            self.assertEqual(bounds.check(0), sentence)

    def test_no_table_at_all(self) -> None:
        self.assertEqual(self.faults(5), {"ports.boiler: expected a table, got 5"})

    def test_unknown_key_unlike_any(self) -> None:
        self.assertIn("unknown key; known keys are path, speed,", self.one_fault(zzz=1))

    def test_unknown_key_like_one(self) -> None:
        """In whatever case; or the beginning of one."""
        self.assertIn("did you mean 'timeout'?", self.one_fault(TIMEOUT=1))
        error = self.assertRaises(ConfigError, structure, {"unit": "m"}, Measured, "p")
        self.assertEqual(list(error.faults), ["p.unit: unknown key; did you mean 'unit_of_measure'?"])

    def test_document_without_a_path(self) -> None:
        self.assertEqual(self.faults({}, ""), {"path: this key is required"})

    def test_bounds_are_allowed(self) -> None:
        for value in (0, 60):
            self.assertEqual(structure({"path": "x", "timeout": value}, Outer).timeout, value)


class TextValues(SchemaTests):
    """``structure_text``, for what stands on a command line."""

    def test_every_key(self) -> None:
        self.assertEqual(
            structure_text(
                {
                    "path": "/dev/x", "speed": "19200", "timeout": "0.6", "gap": "0", "exclusive": "off", "parity": "E",
                    "bits": "7", "units": {"17": {"retries": "0"}},  # type: ignore[dict-item]
                },
                Outer,
            ),
            Outer(
                path="/dev/x", speed=19200, timeout=0.6, gap=0.0, exclusive=False, parity="E", bits=7,
                units={UnitId(17): Inner(retries=0)},
            ),
        )

    def test_words_for_true_and_false(self) -> None:
        words = {"true": True, "YES": True, "1": True, "on": True, "no": False, "0": False, "Off": False}
        for word, meant in words.items():
            self.assertIs(structure_text({"path": "x", "exclusive": word}, Outer).exclusive, meant)

    def test_wrong_words(self) -> None:
        for key, value, sentence in (
            ("speed", "fast", "expected a whole number, got 'fast'"),
            ("speed", "9600.5", "expected a whole number, got '9600.5'"),
            ("speed", "9_600", "expected a whole number, got '9_600'"),
            ("speed", " 9600", "expected a whole number, got ' 9600'"),
            ("speed", "\u0669", "expected a whole number, got '\u0669'"),
            ("timeout", "1_0", "expected a number, got '1_0'"),
            ("timeout", "1 ", "expected a number, got '1 '"),
            ("timeout", "soon", "expected a number, got 'soon'"),
            ("timeout", "nan", "expected a number, got nan"),
            ("timeout", "61", "expected 0 to 60, got 61.0"),
            ("exclusive", "maybe", "expected true or false, got 'maybe'"),
            ("parity", "odd", "expected one of N, E, got 'odd'"),
            ("bits", "9", "expected one of 7, 8, got '9'"),
            ("units", "3", "expected a table, got '3'"),
            ("spede", "1", "unknown key; did you mean 'speed'?"),
        ):
            self.assertEqual(self.one_fault(True, **{key: value}), f"p.{key}: {sentence}")
