"""python -m course <command>: python -m course --help lists the commands."""

import argparse
import importlib
import importlib.util
import sys

# command -> (module, what it does).
COMMANDS = {
    "check": ("course.commands", "is the hand-in complete? 检查作业是否完整"),
    "pack": ("course.commands", "check, and write <student-id>.zip 检查并打包"),
    "report": ("course.report", "write a draft of the report from the run folder 根据运行结果生成报告草稿"),
    ### BEGIN SOLUTION
    "address": ("course.address", "write the repository's address into pages and notebooks: badges for Colab, Kaggle"),
    "release": ("course.release", "make the student edition and the hidden tests"),
    "grade": ("course.grade", "check, test and measure a folder of zip files"),
    "gallery": ("course.gallery", "make the page for blind scoring of the Set5 results"),
    "scores": ("course.scores", "opinion scores with intervals and ranks, the final table"),
    ### END SOLUTION
}


def main(arguments=None):
    for stream in (sys.stdout, sys.stderr):          # a Chinese Windows console may lack characters
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    there = {name: entry for name, entry in COMMANDS.items() if importlib.util.find_spec(entry[0])}
    parser = argparse.ArgumentParser(prog="python -m course", description="The course around the notebooks.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    chosen = [word for word in (sys.argv[1:] if arguments is None else arguments) if not word.startswith("-")][:1]
    for name, (module, text) in there.items():
        command = commands.add_parser(name, help=text, description=text)
        if [name] == chosen:                          # the modules of the others need not be loaded
            command.set_defaults(do=getattr(importlib.import_module(module), f"{name}_command")(command))
    args = parser.parse_args(arguments)
    try:
        return args.do(args)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"{parser.prog} {args.command}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
