"""What is installed: the wheel's contents, and that ``twistd`` finds the plugin after each way of installing."""

from __future__ import annotations

import atexit
import functools
import pathlib
import shutil
import site
import socket
import subprocess
import sys
import tempfile
import unittest
import venv
import zipfile

from lumina_twisted import __version__
from tests.twistd_process import free_tcp_port

ROOT = pathlib.Path(__file__).parent.parent
PARTS = ("lumina_twisted", "twisted", "setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE")
TWISTD = "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; sys.exit(run())"


def run(*words: str | pathlib.Path, folder: pathlib.Path) -> str:
    """What a program printed; it must succeed."""
    ended = subprocess.run(list(map(str, words)), cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@functools.cache
def built() -> tuple[pathlib.Path, pathlib.Path]:
    """A folder with a copy of the tree, and the wheel made of it."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="lumina-packaging-"))
    atexit.register(shutil.rmtree, folder)
    tree = folder / "tree"
    tree.mkdir()
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, tree / part)
    (tree / "tests").mkdir()
    (tree / "tests" / "__init__.py").touch()  # which must not be packed
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, folder=tree)
    (wheel,) = folder.glob("*.whl")
    return folder, wheel


class Packaging(unittest.TestCase):
    """Works on a copy of the tree and needs no network: what we depend on is taken from where the tests run."""

    def setUp(self) -> None:
        """Builds the wheel, once for all tests (trial has no set-up of a class)."""
        self.folder, self.wheel = built()

    def installed(self, name: str, *what: str | pathlib.Path) -> pathlib.Path:
        """The Python of a new environment in which only ``what`` has been installed."""
        place = self.folder / name
        venv.create(place, with_pip=False, symlinks=True)
        (packages,) = place.glob("lib/python*/site-packages")
        (packages / "depends.pth").write_text("\n".join(site.getsitepackages()))
        python = place / "bin" / "python"
        pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "install", "--no-deps")
        run(*pip, "--no-index", "--no-build-isolation", "--ignore-installed", *what, folder=self.folder)
        return python

    def assert_serves(self, python: pathlib.Path, home: pathlib.Path) -> None:
        """``twistd`` lists it, starts it from where it was installed, and knows ``serial:``."""
        self.assertRegex(run(python, "-c", TWISTD, "--help", folder=self.folder), r"\n +lumina +Share ")
        self.assertIn(
            f"Lumina {__version__}, ", run(python, "-c", TWISTD, "-n", "lumina", "--version", folder=self.folder)
        )
        code = (
            "import lumina_twisted; print(lumina_twisted.__file__);"
            "from twisted.internet.endpoints import clientFromString;"
            "print(clientFromString(None, 'serial:/dev/x:baudrate=19200'))"
        )
        self.assertEqual(run(python.parent / "lumina", "--version", folder=self.folder), f"Lumina {__version__}\n")
        path, endpoint = run(python, "-c", code, folder=self.folder).splitlines()
        self.assertTrue(pathlib.Path(path).resolve().is_relative_to(home.resolve()), path)
        self.assertIn("SerialEndpoint", endpoint)

    def test_contents_of_the_wheel(self) -> None:
        with zipfile.ZipFile(self.wheel) as wheel:
            names = {name for name in wheel.namelist() if ".dist-info/" not in name}
            (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
            told = wheel.read(metadata).decode()
        package = ROOT / "lumina_twisted"
        files = [*package.rglob("*.py"), *package.glob("devices/profiles/*.toml"), package / "py.typed"]
        self.assertEqual(names, {str(path.relative_to(ROOT)) for path in files} | {"twisted/plugins/lumina_plugin.py"})
        self.assertIn("\nLicense-Expression: MIT\n", told)
        self.assertIn("\nRequires-Python: >=3.11\n", told)
        self.assertIn("\nLicense-File: LICENSE\n", told)

    def test_nothing_is_put_over_twisted(self) -> None:
        self.assertEqual([str(one) for one in (ROOT / "twisted").rglob("__init__.py")], [])

    def test_wheel(self) -> None:
        self.assert_serves(self.installed("wheel", self.wheel), self.folder / "wheel")

    def test_editable(self) -> None:
        self.assert_serves(self.installed("editable", "-e", self.folder / "tree"), self.folder / "tree")

    def test_a_protocol_that_others_add(self) -> None:
        """The example of the documentation, a distribution of its own: built, installed, tested with the doubles,
        listed, served and asked."""
        tree = self.folder / "lumina_values"
        shutil.copytree(ROOT / "docs" / "examples" / "lumina_values", tree)
        run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tree / "dist", folder=tree)
        (wheel,) = (tree / "dist").glob("*.whl")
        python = self.installed("example", self.wheel, wheel)
        told = run(python.parent / "lumina", "protocols", folder=self.folder)
        self.assertIn("\nvalues-example: registers by unit and address, a line each\n", told)
        self.assertIn("  timeout = 5.0 [s]\n", told)
        run(python, "-m", "twisted.trial", "--temp-directory", tree / "_trial", "test_values", folder=tree)
        self.assertEqual(self.asked_over_tcp(python, b"2 0\n"), b"8\n")

    def asked_over_tcp(self, python: pathlib.Path, line: bytes) -> bytes:
        """What the example's listener answers in a real ``twistd``, before the demo's devices."""
        tcp_port = free_tcp_port()
        words = ("-n", "--pidfile=", "lumina", "--demo", "--log", "directory=", "--listen",
                 f"values-example,port=demo1=tcp:{tcp_port}:interface=127.0.0.1")
        served = subprocess.Popen(
            [python, "-c", TWISTD, *words], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert served.stdout is not None
        try:
            said = []
            for told in served.stdout:
                said.append(told)
                if "In another terminal" in told:
                    with socket.create_connection(("127.0.0.1", tcp_port), 10) as client:
                        client.sendall(line)
                        return client.recv(100)
            raise AssertionError("".join(said))
        finally:
            served.terminate()
            served.communicate()
