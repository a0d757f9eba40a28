"""A draft of the report from the run folder: report.md, and report.html with the images inside.

Made again, it brings tables and figures up to date and leaves what the student has written (report_blocks.py).
"""

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from course.handin import HandIn, decoded
from course.report_blocks import (
    MARKED,
    back_up,
    block,
    digest,
    pictures_of_the_kit,
    refreshed,
    unchanged_parts,
)
from course.report_parts import ReportError, gather, parts_of
from support.files import write_atomically
from support.pages import body, page
from support.stored_run import StoredRun

WRITE_HERE = "(write here) 在此填写"
YOURS = "background: #fff6d6; padding: .5rem .8rem; border-left: 4px solid #e0b000"
PAGE_MARK = "<!-- made from report.md {} -->"


def report_command(parser):
    parser.add_argument("folder", nargs="?", type=Path, default=Path("."), help="the kit (default: this folder)")
    parser.add_argument("--run", action="append", help="name of the run (default: the one in handin.toml); give it "
                        "again to compare further runs with the first 运行名称；可重复，以便比较多次运行")
    parser.add_argument("--again", action="store_true", help="bring tables and figures of an existing report up to "
                        "date; what you have written stays 更新已有报告中的表格和图，你写的内容保留")

    def run(args):
        written, notes = write_report(args.folder, args.run, args.again)
        print("\n".join([*map(str, written), *notes]))
        if WRITE_HERE in (args.folder / "report.md").read_text(encoding="utf-8"):
            print(f"Fill in the places marked {WRITE_HERE!r}. 请填写标有该字样的地方。")
        return 0
    return run


def write_report(folder, run_names=None, again=False):
    """Write report.md, report_files/ and report.html into the kit.

    Where they exist, only the parts between marks (report_blocks) become new, and the old files are kept in
    report_backup/.

    Args:
        run_names: of the run, and of others to compare with it (default: handin.toml's, and with ``again`` those that
            the report compares it with already).

    Returns:
        (paths, sentences on what the reader should know)

    Raises:
        ReportError: if the run has no log, or a report.md exists and ``again`` is not set.
    """
    folder, handin = Path(folder), HandIn(folder)
    old = _text_of(folder / "report.md")
    if old is not None and not again:
        raise ReportError(f"{folder / 'report.md'} is there already. Add --again: its tables and figures become new, "
                          "and what you have written stays. "
                          "report.md 已存在；请加上 --again：只更新表格和图，你写的内容保留。")
    runs = run_names or [handin.run_name, *(_compared_in(old or "")[1:])]
    content = gather(folder / "runs" / runs[0])
    stored = [StoredRun(name, folder / "runs") for name in runs] if len(runs) > 1 else []

    unchanged = unchanged_parts(old or "", folder)
    parts, pictures = parts_of(content, handin, stored, folder, pictures_of_the_kit(old or "", folder))
    replaced = [name for name, png in pictures.items()
                if (folder / name).exists() and (folder / name).read_bytes() != png]
    backup = back_up(folder, ["report.md", "report.html", *replaced])
    for name, png in pictures.items():
        write_atomically(folder / name, png)
    blocks = {name: block(name, text, folder) for name, text in parts.items()}
    text, notes = with_new_parts(old, unchanged, blocks)
    write_atomically(folder / "report.md", text.encode("utf-8"))
    notes += write_page(folder, text, blocks, f"SRGAN {handin.student_id} {handin.name}".strip())
    notes += [f"The former files are kept in {backup.as_posix()}. 原来的文件保存在该文件夹。"] if backup else []
    return [folder / name for name in (*pictures, "report.md", "report.html")], notes


def _text_of(path):
    return decoded(path.read_bytes()).replace("\r\n", "\n") if path.exists() else None


def _compared_in(text):
    """The runs that a report shows, as its first line names them."""
    return next((re.findall(r"`([^`]+)`", match[3]) for match in MARKED.finditer(text) if match[1] == "runs"), [])


def with_new_parts(old, unchanged, blocks):
    """The text of report.md with new parts: (text, sentences on what was found)."""
    template = templates().get_template("report.md.j2")
    if old is None:
        return template.render(blocks=blocks, write_here=WRITE_HERE), []
    if not MARKED.search(old):
        draft = template.render(blocks=blocks, write_here="").partition("\n")[2]
        return f"{old.rstrip()}\n{draft}", [
            "Your report.md has none of the marks between which tables and figures become new: your text stands first, "
            "and they follow it. Move them, with their marks, to where they belong. "
            "你的 report.md 里没有标记：原文保留在前，新的表格和图附在其后，请连同标记移到合适的位置。"]
    text, kept, missing = refreshed(old, unchanged, blocks)
    notes = [f"{name}: you have changed this part; yours stays, and the new one follows it. "
             "Delete what you do not need. 你改动过这一部分：你的版本保留，新版本附在其后。" for name in kept]
    if "compared" in missing and len(_compared_in(old)) < 2:            # it had nothing to compare until now
        missing.remove("compared")
        text = _after(text, "measures" if "measures" in blocks else "results", blocks["compared"])
    old_parts = dict.fromkeys(match[1] for match in MARKED.finditer(old) if match[1] not in blocks)
    if old_parts:
        notes.append(f"Not brought up to date: {', '.join(old_parts)}. There is nothing new for it (to compare runs: "
                     "--run A --run B); delete it if it is wrong now. "
                     "这些部分没有新内容（比较多次运行请用 --run A --run B）；如已过时，请自行删除。")
    if missing:
        notes.append(f"Not in your report.md: {', '.join(missing)}. To have one of them back, write "
                     "<!-- begin NAME --> and <!-- end NAME --> where it belongs, and run this again. "
                     "报告里没有这些部分；如需恢复，请在合适的位置写上这两个标记，再运行一次。")
    return text, notes


def _after(text, name, addition):
    """The text with an addition behind the last part of this name, or at its end."""
    places = [match.end() for match in MARKED.finditer(text) if match[1] == name]
    place = places[-1] if places else len(text.rstrip())
    return f"{text[:place]}\n\n{addition}{text[place:] or chr(10)}"


def write_page(folder, text, blocks, title):
    """Write report.html from report.md; one that was changed by hand only gets the new parts.  Returns sentences."""
    path, old = folder / "report.html", _text_of(folder / "report.html")
    if old is not None and not _is_as_made(old, folder):
        if MARKED.search(old):
            parts = {name: _marked_again(body(part, folder), folder) for name, part in blocks.items()}
            new, kept, _ = refreshed(old, unchanged_parts(old, folder), parts)
            write_atomically(path, new.encode("utf-8"))
            return ["report.html was changed by hand: its tables and figures are new, your changes stay, and the words "
                    "of report.md were not put into it. To make it from report.md, rename it and run this again. "
                    "report.html 被手工改过：只更新了表格和图。如需由 report.md 重新生成，请先给它改名。",
                    *(f"report.html, {name}: yours stays, and the new one follows it." for name in kept)]
        notes = ["report.html was of an older kit, or of another program, and is made anew from report.md. "
                 "原来的 report.html 由旧版套件或其他程序生成，现已由 report.md 重新生成。"]
    else:
        notes = []
    new = page(text, title, folder).replace(f"<p>{WRITE_HERE}</p>", f'<p style="{YOURS}">{WRITE_HERE}</p>')
    new = _marked_again(new, folder)
    write_atomically(path, (new + PAGE_MARK.format(digest(new, folder)) + "\n").encode("utf-8"))
    return notes


def _is_as_made(text, folder):
    """Whether nobody has changed a page since it was made: its last line holds its hash."""
    content, _, last = text.rstrip().rpartition("\n")
    return last == PAGE_MARK.format(digest(content, folder))


def _marked_again(text, folder):
    """HTML whose marks hold the hashes of the HTML between them, and not of the Markdown that it was made from."""
    return MARKED.sub(lambda found: f"<!-- begin {found[1]} {digest(found[3], folder)} -->{found[3]}"
                                    f"<!-- end {found[1]} -->", text)


def templates(autoescape=False):
    """The templates of course/templates; ``autoescape``: what is put into a page is text and not HTML."""
    loader = FileSystemLoader(Path(__file__).parent / "templates", encoding="utf-8")
    return Environment(loader=loader, autoescape=autoescape, undefined=StrictUndefined, trim_blocks=True,
                       lstrip_blocks=True)
