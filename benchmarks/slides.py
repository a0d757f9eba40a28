"""The slides of the two lectures: python -m benchmarks.slides

From the text in docs/slides/ and figures that are drawn here: runs/slides/<lecture>.html, each whole in one file.
"""

import argparse
import importlib.util
import re
import shutil
import sys
from pathlib import Path

from benchmarks.slide_figures import FIGURES, scores_of
from support.figures import as_png
from support.files import write_atomically

SOURCE = Path(__file__).resolve().parents[1] / "docs/slides"
DOCS = SOURCE.parent
STORED = ("demo", "interpolation", "quality")             # figures that docs/ has already
WIDTH, HEIGHT = 1280, 720
COMMAND = f"{Path(sys.executable).name} -m pip install --no-deps -r docs/slides/requirements.txt"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/slides"), help="folder (default: runs/slides)")
    parser.add_argument("--only", nargs="+", choices=[path.stem for path in lectures()], metavar="LECTURE",
                        help="these alone: " + ", ".join(path.stem for path in lectures()))
    args = parser.parse_args(arguments)
    missing = [name for name in ("pypandoc", "sphinx_revealjs") if importlib.util.find_spec(name) is None]
    if missing:
        print(f"Not installed here: {', '.join(missing)}. Run {COMMAND} first.", file=sys.stderr)
        return 1
    chosen = [path for path in lectures() if path.stem in (args.only or [path.stem])]
    draw({name for path in chosen for name in figures_in(path)}, args.out / "figures")
    for path in chosen:
        print(build(path, args.out))
    return 0


def lectures():
    """The texts, sorted: lecture1.md, lecture1.zh-CN.md, ..."""
    return sorted(SOURCE.glob("lecture*.md"))


def figures_in(path):
    """The names of the figures in a text."""
    return re.findall(r"\]\(figures/(\w+)\.png\)", path.read_text(encoding="utf-8"))


def draw(names, folder):
    """Write the figures of these names as PNG into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in sorted(names):
        if name in STORED:
            shutil.copyfile(DOCS / f"{name}.png", folder / f"{name}.png")
        else:
            write_atomically(folder / f"{name}.png", as_png(FIGURES[name](), dpi=120))


def with_scores(text):
    """The text with the PSNR of docs/results.md for each ``{{Set5 row}}``.

    Raises:
        KeyError: if the results have no such row.
    """
    return re.sub(r"\{\{(Set5|Set14) (.+?)\}\}", lambda match: f"{scores_of(match[1])[match[2]]:.2f}", text)


def build(path, out):
    """Write one lecture as HTML; returns its path."""
    import pypandoc
    reveal = Path(importlib.util.find_spec("sphinx_revealjs").submodule_search_locations[0], "_static/revealjs")
    target = out / f"{path.stem}.html"
    options = {"revealjs-url": reveal.as_posix(), "theme": "white", "width": WIDTH, "height": HEIGHT, "margin": 0.02,
               "center": "false", "transition": "none", "slideNumber": "true", "hash": "true"}
    language = "zh-CN" if ".zh-CN" in path.name else "en"
    pypandoc.convert_text(
        with_scores(path.read_text(encoding="utf-8")), "revealjs", format="markdown-implicit_figures",
        outputfile=str(target),
        extra_args=["--quiet", "--standalone", "--embed-resources", "--mathml", "--slide-level=2",
                    f"--metadata=lang:{language}", f"--resource-path={out}", f"--css={SOURCE / 'slides.css'}",
                    *(f"--variable={key}={value}" for key, value in options.items())])
    return target


if __name__ == "__main__":
    sys.exit(main())
