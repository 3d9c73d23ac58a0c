"""Makes the page of figures and the plots of a results file, without measuring: ``python -m benchmarks.report [FILE]``.

Without a file of the one that was published last. With ``--print`` the tables are only printed.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Sequence

from benchmarks.length import say
from benchmarks.results import PUBLISHED, Results
from benchmarks.tables import FIGURE, SHARING_FIGURE, section

ROOT = pathlib.Path(__file__).parent.parent
PAGE = pathlib.Path("docs/figures.md")
BEGIN, END = "<!-- bench: begin -->\n", "<!-- bench: end -->\n"


def spliced(page: str, figures: str) -> str:
    """The page with these figures between its two markers, and all else as it was.

    :raises ValueError: it has no such markers.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE} needs the lines {BEGIN.strip()} and {END.strip()} where the figures are to stand")
    return f"{before}{begin}{figures}{end}{after}"


def publish(results: Results, root: pathlib.Path = ROOT, published: pathlib.Path = PUBLISHED) -> None:
    """Makes the page and the plots, and keeps the results they are made of."""
    page = root / PAGE
    text = spliced(page.read_text(), section(results))
    results.save(published)
    page.write_text(text)
    try:
        from benchmarks.plot import svg
        from benchmarks.sharing_plot import sharing_svg
    except ImportError as why:
        say(f"no plot, for {why.name} is missing: pip install -e '.[bench]', then python -m benchmarks.report")
        return
    draw(root / FIGURE, svg(results))
    if "sharing" in results.measured:
        draw(root / SHARING_FIGURE, sharing_svg(results.measured["sharing"]))
    say(f"{PAGE} and {(root / FIGURE).parent.relative_to(root)} show these figures")


def draw(path: pathlib.Path, plot: str) -> None:
    """Writes a plot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(plot)


def main(words: Sequence[str] | None = None) -> int:
    """The exit status: 0, or 1 where there are no results."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.report", description="Makes the page of figures of a results file."
    )
    parser.add_argument("file", nargs="?", type=pathlib.Path, default=PUBLISHED, help="else those published last")
    parser.add_argument("--print", action="store_true", help="print the tables and change nothing")
    wanted = parser.parse_args(words)
    try:
        results = Results.load(wanted.file)
        if wanted.print:
            print(section(results))
        else:
            publish(results)
    except ValueError as why:
        say(str(why))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
