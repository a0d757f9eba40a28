"""Where the kit lies in the internet: one setting (course.toml), written into each file that shows or needs it.

    python -m course address

Badges for Colab and Kaggle in the READMEs and the notebooks, the first cell of the notebooks, CITATION.cff.
``release`` does the same with the address of the student edition.
"""

import json
import re
from pathlib import Path

from course.facts import NOTEBOOKS, FactsError, read_facts
from support.files import write_atomically

PAGES = ("README.md", "README.zh-CN.md")
CITATION = "CITATION.cff"
CELL = Path(__file__).parent / "templates" / "hosted_cell.txt"
GITHUB = re.compile(r"https://github\.com/([\w.-]+)/([\w.-]+?)(?:\.git)?(?:/tree/([\w./-]+?))?/?")
BADGES = re.compile(r"(<!-- begin badges -->\n).*?(<!-- end badges -->)", re.DOTALL)
HOSTS = (("Colab", "https://colab.research.google.com/assets/colab-badge.svg",
          "https://colab.research.google.com/github/{}"),
         ("Kaggle", "https://kaggle.com/static/images/open-in-kaggle.svg",
          "https://kaggle.com/kernels/welcome?src=https://github.com/{}"))


def address_command(parser):
    parser.add_argument("folder", nargs="?", type=Path, default=Path("."), help="the kit (default: this folder)")

    def run(args):
        address = checked(read_facts(args.folder / "course.toml").course.repository, "repository")
        changed = write_address(args.folder, address)
        print("\n".join(map(str, changed)) or "Nothing to change.")
        if not address:
            print("course.toml has no repository: the pages have no badges, and the notebooks' first cell no address.")
        elif not GITHUB.fullmatch(address):
            print("Colab and Kaggle open notebooks from GitHub only: there are no badges. The first cell of a notebook "
                  f"that is uploaded there fetches the kit from {address}.")
        return 0
    return run


def checked(address, key):
    """The address without spaces around it.

    Raises:
        FactsError: if it is none.
    """
    address = address.strip()
    if address and not re.fullmatch(r"[a-z+]+://[^\s\"'<>()\\]+", address):
        raise FactsError(f"course.toml: course.{key} is {address!r}; it has to be an address such as "
                         "https://github.com/OWNER/NAME, or empty.")
    return address


def write_address(folder, address):
    """Write the address into the files of a kit; returns the paths of those that have changed."""
    names = [*PAGES, CITATION, *(path.relative_to(folder).as_posix() for pattern in ("*.ipynb", "extensions/*.ipynb")
                                 for path in sorted(folder.glob(pattern)))]
    changed = []
    for name in names:
        old = (folder / name).read_text(encoding="utf-8")
        new = with_address(name, old, address)
        if new != old:
            write_atomically(folder / name, new.encode("utf-8"))
            changed.append(folder / name)
    return changed


def with_address(name, text, address):
    """The text of a file of the kit, with the address in its places; "" takes it out of them.

    Args:
        name: the path of the file inside the kit, with "/".
    """
    if name.endswith(".ipynb"):
        return notebook_with_address(name, text, address)
    if name == CITATION:
        text = re.sub(r"^repository-code: .*\n", "", text, flags=re.MULTILINE)
        return re.sub(r"^(license: .*\n)", rf'\1repository-code: "{address}"\n', text, flags=re.MULTILINE) \
            if address else text
    if name == "course.toml":
        return re.sub(r"^repository = .*$", f'repository = "{address}"', text, flags=re.MULTILINE)
    if name not in PAGES:
        return text
    lines = [f"`{notebook}` {badges(address, notebook)}" for notebook in NOTEBOOKS] if badges(address, "") else []
    return _between("".join(f"- {line}\n" for line in lines), text)


def notebook_with_address(name, text, address):
    """The same for a notebook: badges in its first cell, the address in the cell that fetches the kit."""
    notebook = json.loads(text)
    first = notebook["cells"][0]
    line = badges(address, name)
    first["source"] = _lines(_between(line and f"{line}\n", "".join(first["source"])))
    for cell in notebook["cells"]:
        if "hosted" in cell["metadata"].get("tags", []):
            cell["source"] = _lines(cell_source(address))
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def badges(address, notebook):
    """Markdown that opens a notebook on the hosts; "" where they cannot, which is everywhere but on GitHub."""
    found = GITHUB.fullmatch(address)
    if not found:
        return ""
    owner, name, branch = found.groups()
    place = f"{owner}/{name}/blob/{branch or 'main'}/{notebook}"
    return " ".join(f"[![Open in {host}]({picture})]({link.format(place)})" for host, picture, link in HOSTS)


def cell_source(address):
    """The first code cell of each notebook."""
    found = GITHUB.fullmatch(address)
    if found and found[3]:               # git would have to be told the branch: the zip file of it is as good
        address = f"https://github.com/{found[1]}/{found[2]}/archive/refs/heads/{found[3]}.zip"
    source = CELL.read_text(encoding="utf-8").rstrip("\n")
    return re.sub(r'^repository = ""', lambda _: f'repository = "{address}"', source, flags=re.MULTILINE)


def _between(new, text):
    return BADGES.sub(lambda found: found[1] + new + found[2], text)


def _lines(source):
    return source.splitlines(keepends=True)
