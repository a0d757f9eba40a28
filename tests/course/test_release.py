"""The student edition: no solution in it, nothing that it lacks is named, and a student can write it step by step."""

import re
from pathlib import Path

import nbformat
import pytest

from course.facts import read_facts
from course.handin import HandIn, code_files
from course.regions import RegionError, split, split_notebook
from course.release import ReleaseError, find_leaks, release, texts_of
from course.sandbox import ROOT
from tests.course.edition_at_work import run
from tests.course.edition_names import found_in, imports_that_lead_nowhere, missing_files, missing_names, texts_in

pytestmark = pytest.mark.xdist_group("release")
PYTHON = '''a = 1
### BEGIN SOLUTION
answer = 42
### REPLACED BY
# if True:
#     raise NotImplementedError("yours")
#
### END SOLUTION
b = 2
'''
MARKDOWN = """Before.
<!-- ### BEGIN SOLUTION -->
The answer.
<!-- ### REPLACED BY
A question?
### END SOLUTION -->
After."""


def test_regions_are_replaced_in_python_and_in_markdown():
    shown = 'a = 1\nif True:\n    raise NotImplementedError("yours")\n\nb = 2\n'
    assert split(PYTHON, "a.py") == (shown, ["answer = 42"])
    assert split(MARKDOWN, "a.md", markdown=True) == ("Before.\nA question?\nAfter.", ["The answer."])


def test_an_indented_region_keeps_its_place():
    text = "class A:\n    ### BEGIN SOLUTION\n    x = 1\n    ### REPLACED BY\n    # x = None\n    ### END SOLUTION\n"
    assert split(text, "a.py")[0] == "class A:\n    x = None\n"


@pytest.mark.parametrize("text, fault", [
    ("### BEGIN SOLUTION\n", "line 1 has no"), ("a\n### END SOLUTION", "line 2.*no region is open"),
    ("### BEGIN SOLUTION\n### BEGIN SOLUTION", "line 2.*begins at line 1"), ("### REPLACED BY", "no region is open"),
    ("### BEGIN SOLUTION\n### REPLACED BY\nx = 1\n### END SOLUTION", "line 3.*has to begin with '# '")])
def test_marks_that_do_not_belong_together_are_refused_with_their_line(text, fault):
    with pytest.raises(RegionError, match=fault):
        split(text, "a.py")


def test_a_cell_of_which_nothing_is_left_goes_and_outputs_go():
    cell = nbformat.v4.new_code_cell("### BEGIN SOLUTION\nx = 1\n### END SOLUTION")
    other = nbformat.v4.new_code_cell("y = 1", execution_count=3, outputs=[nbformat.v4.new_output("stream", text="1")])
    notebook, hidden = split_notebook(nbformat.v4.new_notebook(cells=[cell, other]), "a.ipynb")
    assert [c.source for c in notebook.cells] == ["y = 1"] and hidden == ["x = 1"]
    assert notebook.cells[0].outputs == [] and notebook.cells[0].execution_count is None


# ---------------------------------------------------------------- the edition of this repository

def solution_lines():
    """Long lines that occur in solution regions and nowhere else in the repository's handed-out files."""
    inside, outside = set(), set()
    for path in [*texts_of(ROOT), *ROOT.glob("*.ipynb")]:
        if path.suffix == ".ipynb":
            notebook = nbformat.read(path, as_version=4)
            shown, hidden = split_notebook(notebook, path.name)
            shown = "\n".join(cell.source for cell in shown.cells)
        else:
            shown, hidden = split(path.read_text(encoding="utf-8"), path.name, path.suffix == ".md")
        inside |= {line.strip() for line in hidden}
        outside |= {line.strip() for line in shown.splitlines()}
    # The rule below a table's header, |---|---|, is nobody's.
    return {line for line in inside - outside if len(line) > 20 and re.search(r"\w", line)}


@pytest.mark.slow
def test_no_line_of_a_solution_is_left_anywhere(edition):
    secret = solution_lines()
    assert len(secret) > 100
    for path in edition.rglob("*"):
        if path.is_file() and path.suffix not in (".png", ".npz"):
            text = path.read_text(encoding="utf-8")
            if path.suffix == ".ipynb":
                text = "\n".join(cell.source for cell in nbformat.reads(text, as_version=4).cells)
            assert not secret & {line.strip() for line in text.splitlines()}, path
            assert "SOLUTION" not in text or path.name == "regions.py", path


# File -> what it may name although the edition lacks it: names that a student is asked, or free, to give.
MAY_BE_NAMED = {"support/networks.py": {"upsampling", "last"},
                "support/enlarging.py": {"receptive_margin", "bytes_per_pixel", "trunk", "tail"}}
OF_THE_SOLUTION = ("come with the kit", "comes with the kit", "套件附带", "three methods", "三种方法", "0.92",
                   "SRDiff", "SR3", "benchmarks")


@pytest.mark.slow
def test_nothing_is_named_that_the_edition_lacks(edition):
    """Weights, files, modules, functions, classes, settings and their values, make targets; and sentences on them."""
    if not (ROOT / ".git").exists():
        pytest.skip("git tells what the complete kit holds")
    missing, texts = missing_files(ROOT, edition) | missing_names(ROOT, edition), texts_in(edition)
    assert {"srresnet-x4", "extensions", "course.grade", "PatchDiscriminator", "start_as_interpolation", "grid_weight",
            "start", '"perceptual"', "make bench", "docs/teacher.md"} <= missing.keys()
    found = [(file, line, name, text) for file, line, name, text in found_in(texts, missing)
             if name not in MAY_BE_NAMED.get(file, ())]
    assert found == []
    assert [(name, words) for name, text in texts.items() for words in OF_THE_SOLUTION if words in text] == []


def test_a_name_that_the_edition_lacks_is_found_where_it_stands(tmp_path):
    text = "Fine.\nUse `config.start`, or srresnet-x4; the trunk of a tree.\n"
    (tmp_path / "a.md").write_text(text, encoding="utf-8")
    patterns = {"start": r"\bconfig\.start\b", "srresnet-x4": r"(?<![\w-])srresnet-x4", "trunk": r"\bself\.trunk\b"}
    assert [entry[:3] for entry in found_in(texts_in(tmp_path), patterns)] == [
        ("a.md", 2, "start"), ("a.md", 2, "srresnet-x4")]


def test_every_import_of_the_edition_leads_somewhere(edition):
    """A name inside of a solution region that a file outside of it imports is gone with the region."""
    assert imports_that_lead_nowhere(edition) == []


@pytest.mark.slow
def test_what_gives_the_solution_away_is_left_out(edition):
    names = {path.relative_to(edition).as_posix() for path in edition.rglob("*") if path.is_file()}
    assert {"models.py", "solver.py", "train.ipynb", "course/check.py", "docs/assignment.zh-CN.md", "course.toml",
            "handin.toml", "tests/students/test_1_residual_block.py", "tests/core/test_imresize.py"} <= names
    assert not [name for name in names if re.match(r"tests/(bad|benchmarks|course|extensions)/", name)]
    assert not [name for name in names if re.match(r"(weights|benchmarks|extensions|runs|data)/", name)]
    assert not {f"course/{name}.py" for name in ("release", "grade", "hidden", "probes", "gallery", "scores")} & names
    assert (edition.parent / "hidden.zip").exists()


@pytest.mark.slow
def test_the_top_level_holds_what_a_student_reads_and_support_the_rest(edition):
    top = {path.name for path in edition.iterdir()}
    assert {name for name in top if name.endswith(".py")} == {path.name for path in ROOT.glob("*.py")}
    assert {name for name in top if "." not in name} == {"course", "docs", "support", "tests", "LICENSE", "Makefile"}
    support = {path.name for path in (edition / "support").iterdir()}
    assert support == {path.name for path in ROOT.glob("support/*.py")} | {"niqe_parameters.npz"}


@pytest.mark.slow
def test_the_edition_knows_what_was_handed_out(edition):
    handin = HandIn(edition)
    assert set(handin.given()) == {name.as_posix() for name in code_files(edition)}
    assert [name.as_posix() for name in handin.code()] == ["models.py", "solver.py"]


@pytest.mark.slow
def test_the_names_of_the_roster_are_not_handed_out(edition):
    assert "[roster]" in (ROOT / "course.toml").read_text(encoding="utf-8")
    assert "[roster]" not in (edition / "course.toml").read_text(encoding="utf-8")
    assert read_facts(edition / "course.toml").limits == read_facts(ROOT / "course.toml").limits


@pytest.mark.slow
def test_notebooks_are_handed_out_without_outputs_and_with_slots(edition):
    for path in edition.glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells
                   if cell.cell_type == "code")
    text = (edition / "train.ipynb").read_text(encoding="utf-8")
    assert "This part is yours" in text and "start_as_interpolation" not in text


@pytest.mark.slow
def test_every_link_of_the_edition_leads_somewhere(edition):
    for page in edition.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        anchors = {re.sub(r"[^\w\u4e00-\u9fff -]", "", title).strip().lower().replace(" ", "-")
                   for title in re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)}
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if target.startswith("#"):
                assert target[1:] in anchors, (page.name, target)
            elif "://" not in target:
                assert (page.parent / target.partition("#")[0]).exists(), (page.name, target)


@pytest.mark.slow
def test_the_students_commands_are_there_and_the_graders_are_not(edition):
    done = run(edition, "-m", "course", "--help")
    assert done.returncode == 0 and all(word in done.stdout for word in ("check", "pack", "report"))
    assert not any(word in done.stdout for word in ("grade", "gallery", "scores", "release"))
    assert run(edition, "-m", "course", "check").returncode == 1


@pytest.mark.slow
def test_an_edition_is_never_written_over_another(edition, tmp_path):
    with pytest.raises(ReleaseError, match="there already"):
        release(edition, tmp_path / "h.zip")


@pytest.mark.slow
def test_the_table_of_settings_is_that_of_the_edition(edition):
    for name in ("settings.md", "settings.zh-CN.md"):
        page = (edition / "docs" / name).read_text(encoding="utf-8")
        assert re.search(r"^\| `pretrain\.epochs` .*\| 0 \|", page, re.MULTILINE)
        assert "`content_loss`" in page and "A2N" not in page
        secret = "perceptual|(pixel|feature|grid)_weight|`discriminator`|PatchDiscriminator|'interpolation'"
        assert not re.search(secret, page)


def test_a_solution_that_stands_in_another_file_is_found():
    written = {Path("a.py"): "x = 1\n", Path("b.py"): "the_secret_answer = 6 * 7\n"}
    solutions = {Path("a.py"): {"the_secret_answer = 6 * 7", "return x"}, Path("b.py"): set()}
    assert find_leaks(written, solutions) == ["b.py: the_secret_answer = 6 * 7"]
    shown = {Path("a.py"): "the_secret_answer = 6 * 7\n"}
    assert find_leaks(shown, {Path("a.py"): {"the_secret_answer = 6 * 7"}}) == []
    rule = "|---|---|---|---|---|---|"                # of a table, in any page
    assert find_leaks({Path("a.md"): "", Path("b.md"): rule}, {Path("a.md"): {rule}}) == []
