"""Makefile, CI and the hooks of git look at the same things."""

import re

from tests.helpers import ROOT


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def recipe(target):
    """The lines of a target of the Makefile."""
    return re.search(rf"^{target}:.*\n((?:\t.*\n)+)", text_of("Makefile"), flags=re.MULTILINE)[1]


def test_ci_runs_the_tests_of_make_test_quick_also_where_there_is_no_make():
    selection = re.search(r'-m "[^"]+"', recipe("test-quick"))[0]
    assert text_of(".github/workflows/tests.yml").count(f"python -m pytest {selection}") == 2


def test_ci_lints_as_make_lint_does():
    workflow = text_of(".github/workflows/tests.yml")
    commands = re.findall(r"\$\(BIN\)/(python .*)", recipe("lint"))
    assert len(commands) == 3 and all(f"- run: {command}" in workflow for command in commands)


def test_the_hooks_have_the_tools_of_requirements_txt():
    wanted = re.findall(r'"([\w-]+>=[^"]+)"', text_of(".pre-commit-config.yaml"))
    assert len(wanted) == 3 and set(wanted) <= set(text_of("requirements.txt").replace('"', "'").splitlines())


def test_the_fast_checks_come_first_in_ci():
    assert re.findall(r"^make (\S+)$", text_of(".ci/run"), flags=re.MULTILINE) == ["lint", "test", "test-long"]
