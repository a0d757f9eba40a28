"""Your exercises: a test that comes to a part which is not written yet is skipped with one sentence; the end counts."""

import re

import pytest

from support.messages import NotWritten

# tests/students/test_<number>_....py -> what it asks for, in the order of docs/student.md.
EXERCISES = {1: "ResidualBlock", 2: "UpsampleBlock", 3: "Generator", 4: "Discriminator", 5: "TruncatedVGG19",
             6: "solver.pretrain", 7: "solver.train"}
HANDED_OUT = {7}             # works as it was handed out, and is yours to improve


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    error = call.excinfo and call.excinfo.value
    if isinstance(error, NotWritten):
        report = outcome.get_result()
        report.outcome, report.longrepr = "skipped", (*error.place(), f"Skipped: {error.args[0]}")


def pytest_terminal_summary(terminalreporter):
    """A line for each exercise: how many of its tests pass, or what is not written yet."""
    found = {}                                       # number -> list of (outcome, report)
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            number = re.search(r"students/test_(\d+)_", report.nodeid)
            if number:
                found.setdefault(int(number[1]), []).append((outcome, report))
    if not found:
        return
    terminalreporter.section("your exercises")
    lines = {number: _line(found[number]) for number in sorted(found)}
    for number, (is_done, text) in lines.items():
        if is_done and number in HANDED_OUT:
            text += ", as handed out too: what it trains is yours to improve"
        terminalreporter.write_line(f"{number} {EXERCISES.get(number, ''):16} {text}")
    yours = [is_done for number, (is_done, _) in lines.items() if number not in HANDED_OUT]
    if yours:
        terminalreporter.write_line(f"{sum(yours)} of {len(yours)} exercises are written and pass")


def _line(reports):
    """(whether the exercise is done, what to say of it)."""
    wrong = [report for outcome, report in reports if outcome in ("failed", "error")]
    missing = [report for outcome, report in reports if outcome == "skipped"]
    passed = len(reports) - len(wrong) - len(missing)
    if wrong:
        return False, f"{passed} of {len(reports)} tests pass; the first that fails: {wrong[0].nodeid.split('::')[-1]}"
    if missing:
        file, line, reason = missing[0].longrepr
        return False, f"not written yet: {file}, line {line}: {reason.removeprefix('Skipped: ')}"
    return True, f"passes ({passed} of {passed})"
