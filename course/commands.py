"""The student's commands ``check`` and ``pack``: their arguments and what they print."""

import sys
from pathlib import Path

from course.check import check
from course.facts import read_facts
from course.pack import pack
from course.texts import RULES

MARKS = {"ok": "[ ok ]", "absent": "[ -- ]", "warning": "[warn]", "fault": "[FAIL]"}


def check_command(parser):
    parser.add_argument("folder", nargs="?", type=Path, default=Path("."), help="default: this folder")
    parser.add_argument("--data", type=Path, help="folder of the lists with Set5 (default: data in the folder)")

    def run(args):
        return _say(check(args.folder, read_facts(args.folder / "course.toml"), args.data))
    return run


def pack_command(parser):
    parser.add_argument("folder", nargs="?", type=Path, default=Path("."), help="default: this folder")
    parser.add_argument("--data", type=Path, help="folder of the lists with Set5 (default: data in the folder)")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for the zip file (default: this one)")
    parser.add_argument("--unfinished", action="store_true",
                        help="pack although rules are broken (the grader sees which) 未通过检查也打包")

    def run(args):
        status = _say(check(args.folder, read_facts(args.folder / "course.toml"), args.data))
        if status and not args.unfinished:
            print("\nNothing was packed: mend what is marked FAIL first, or say --unfinished.\n"
                  "未打包：请先改正标有 FAIL 的各项，或加上 --unfinished。", file=sys.stderr)
            return status
        path, names = pack(args.folder, args.out)
        print(f"\n{path}  ({path.stat().st_size / 1e6:.1f} MB, {len(names)} files)")
        return 0
    return run


def _say(findings):
    """One line a rule, below it what was found and how to mend it; 1 if a rule is broken."""
    levels = ("ok", "absent", "warning", "fault")       # "absent": nothing to judge yet
    for rule, words in RULES.items():
        found = [finding for finding in findings if finding.rule == rule]
        level = max((finding.level for finding in found), key=levels.index)
        print(f"{MARKS[level]} {words.en} · {words.zh}")
        if level in ("warning", "fault"):
            for finding in found:
                print(f"         {finding.detail}")
            print(f"       > {words.mend_en}\n       > {words.mend_zh}")
    return int(any(finding.level == "fault" for finding in findings))
