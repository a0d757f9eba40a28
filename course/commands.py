"""The student's commands ``check`` and ``pack``: their arguments and what they print."""

import sys
from pathlib import Path

from course.check import check
from course.facts import CODE, read_facts
from course.handin import EDITION, MANIFEST, HandIn
from course.pack import pack
from course.texts import RULES

STATES = {"changed": "changed 已改动", "new": "new 新增"}
MARKS = {"ok": "[ ok ]", "absent": "[ -- ]", "warning": "[warn]", "fault": "[FAIL]"}


def check_command(parser):
    parser.add_argument("folder", nargs="?", type=Path, default=Path("."), help="default: this folder")
    parser.add_argument("--data", type=Path, help="folder of the lists, with Set5 (default: data/ in the folder)")

    def run(args):
        return check_and_say(args.folder, args.data)
    return run


def pack_command(parser):
    parser.add_argument("folder", nargs="?", type=Path, default=Path("."), help="default: this folder")
    parser.add_argument("--data", type=Path, help="folder of the lists, with Set5 (default: data/ in the folder)")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for the zip file (default: this one)")
    parser.add_argument("--unfinished", action="store_true",
                        help="pack even if rules are broken (the grader sees which) 未通过检查也打包")

    def run(args):
        status = check_and_say(args.folder, args.data)
        if status and not args.unfinished:
            print("\nNothing was packed: fix what is marked FAIL first, or add --unfinished.\n"
                  "未打包：请先改正标有 FAIL 的各项，或加上 --unfinished。", file=sys.stderr)
            return status
        path, names = pack(args.folder, args.out)
        print(f"\n{path}  ({path.stat().st_size / 1e6:.1f} MB, {len(names)} files)")
        return 0
    return run


def check_and_say(folder, data):
    """Check a folder and print the findings; 1 if a rule is broken."""
    status = say(check(folder, read_facts(folder / "course.toml"), data))
    print(code_line(HandIn(folder)), end="")
    return status


def say(findings):
    """Print one line per rule, and below it what was found and how to fix it; 1 if a rule is broken."""
    levels = ("ok", "absent", "warning", "fault")       # "absent": there is nothing to judge yet
    for rule, words in RULES.items():
        found = [finding for finding in findings if finding.rule == rule]
        level = max((finding.level for finding in found), key=levels.index)
        print(f"{MARKS[level]} {words.en} · {words.zh}")
        if level in ("warning", "fault"):
            for finding in found:
                print(f"         {finding.detail}")
            print(f"       > {words.fix_en}\n       > {words.fix_zh}")
    return int(any(finding.level == "fault" for finding in findings))


def code_line(handin):
    """One line on the Python files that are handed in besides models.py and solver.py; "" if there are none.

    Of an unpacked zip file nothing is said: its files are there to be seen.
    """
    others = {name: state for name, (_, state) in handin.code().items() if name.as_posix() not in CODE}
    if not others or (handin.folder / MANIFEST).exists():
        return ""
    if handin.given() is None:
        return (f"[info] {EDITION} is missing, so all {len(others)} other Python files are handed in too. "
                f"· 缺少 {EDITION}，其余 {len(others)} 个 Python 文件也会全部提交。\n")
    listed = ", ".join(f"{name} ({STATES[state]})" for name, state in others.items())
    return f"[info] Python files that are handed in too · 一并提交的 Python 文件：{listed}\n"
