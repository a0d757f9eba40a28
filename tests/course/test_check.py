"""check and pack: every fault is found by its rule, a complete hand-in has none, and packing is exact."""

import hashlib
import io
import json
import zipfile

import nbformat
import pytest
from easydict import EasyDict
from nbformat.v4 import new_output

from config import PUBLISHED, get_config
from course import __main__ as command
from course.check import DEMO_VALID, SET_SIZES, check, five_set_table
from course.facts import TEST_SETS, FactsError, read_facts
from course.handin import EDITION, HandIn, HandInError, code_files, text_hash
from course.pack import changed_since, pack
from course.texts import RULES
from create_data_lists import DEMO
from inference import SHIPPED, weights_to_show
from support import figures
from support.enlarging import mean_of
from support.lists import how_to_get
from support.provenance import syntax_hash
from tests.course.synthetic_class import FAULTS, REPORT, complete, without, write_set5
from tests.helpers import ROOT


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_set5(tmp_path_factory.mktemp("set5"))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return complete(1, tmp_path_factory.mktemp("code"))


def put(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def faults(findings):
    return {finding.rule for finding in findings if finding.level != "ok"}


def test_a_complete_hand_in_breaks_no_rule(tmp_path, files, data):
    findings = check(put(tmp_path, files), read_facts(), data)
    assert faults(findings) == set() and {finding.rule for finding in findings} == set(RULES)


@pytest.mark.parametrize("name", list(FAULTS))
def test_each_fault_is_found_by_its_rule(tmp_path, files, data, name):
    change, rule = FAULTS[name]
    found = faults(check(put(tmp_path, change(files)), read_facts(), data))
    assert rule in found
    consequences = {"files": {"code", "executed", "figures", "report"}, "code": {"code"},
                    "figures": {"figures", "table", "code"},
                    "pictures": {"copies"}}
    assert found - {rule} <= consequences.get(rule, set()), found


def test_other_code_is_only_a_warning_and_comments_are_no_change(tmp_path, files, data):
    solver = files["solver.py"].replace(b'"""Training:', b'"""My training:') + b"\n# a remark\n"
    changed = {**files, "solver.py": solver}
    assert faults(check(put(tmp_path, changed), read_facts(), data)) == set()
    (tmp_path / "solver.py").write_bytes(files["solver.py"] + b"\nANOTHER = 1\n")
    found = [finding for finding in check(tmp_path, read_facts(), data) if finding.level != "ok"]
    assert {(finding.rule, finding.level) for finding in found} == {("code", "warning")}


def test_the_hash_of_code_is_that_of_its_syntax(tmp_path):
    def hash_of(text):
        (tmp_path / "a.py").write_text(text, encoding="utf-8")
        return syntax_hash(tmp_path / "a.py")
    first = hash_of('def f(x):\n    """Twice."""\n    return 2 * x\n')
    assert first == hash_of("def f(x):   # doubled\n\n    return (2 *\n            x)\n") and len(first) == 12
    assert first != hash_of("def f(x):\n    return 3 * x\n") and first != hash_of("def g(x):\n    return 2 * x\n")
    with pytest.raises(SyntaxError):
        hash_of("def f(:\n")


def test_without_set5_copies_cannot_be_looked_for_and_that_is_said(tmp_path, files):
    found = [finding for finding in check(put(tmp_path, files), read_facts()) if finding.level != "ok"]
    assert [(finding.rule, finding.level) for finding in found] == [("copies", "warning")]


DRAFT = REPORT.partition("The generator")[0] + "(write here) 在此填写\n" + REPORT[REPORT.index("## 2"):]


def word(text):
    """A .docx file with these paragraphs."""
    import docx
    document, buffer = docx.Document(), io.BytesIO()
    for line in text.splitlines():
        document.add_paragraph(line.strip("# "))
    document.save(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("reports, level, said", [
    ({"report.md": DRAFT.encode(), "report.docx": word(REPORT)}, "warning", "report.md: still a draft, report.docx is"),
    ({"report.md": DRAFT.encode(), "report.pdf": b"no PDF"}, "fault", "report.pdf: "),      # not the draft's faults
    ({"report.md": REPORT.encode(), "report.docx": b"PK damaged"}, "ok", ""),
    ({"report.md": b"notes for myself", "report.docx": word(REPORT)}, "ok", ""),
    ({"report.md": DRAFT.encode()}, "fault", "report.md: (write here)")])
def test_of_two_reports_the_finished_one_is_judged(tmp_path, files, data, reports, level, said):
    found = [finding for finding in check(put(tmp_path, {**without(files, "report.md"), **reports}), read_facts(), data)
             if finding.rule == "report"]
    assert max((finding.level for finding in found), key=("ok", "warning", "fault").index) == level
    assert any(said in finding.detail for finding in found)


# ---------------------------------------------------------------- pack

@pytest.fixture
def kit(tmp_path, files):
    """A student's kit: the run lies in runs/mine."""
    folder = tmp_path / "kit"
    for name, content in files.items():
        if name.startswith(("results/", "run/")):
            name = "runs/mine/" + name.removeprefix("run/")
        put(folder, {name: content})
    put(folder, {"runs/mine/checkpoints/srgan_last.pth": b"0" * 100, "data/Set5.bin": b"0", "config.py": b"A = 1\n",
                 "notes.txt": b"private"})
    return folder


def test_packing_takes_what_belongs_and_is_the_same_byte_for_byte(kit, tmp_path, data):
    assert faults(check(kit, read_facts(), data)) == set()
    path, names = pack(kit, tmp_path / "one")
    again, _ = pack(kit, tmp_path / "two")
    assert path.name == "20260001.zip" and path.read_bytes() == again.read_bytes()
    assert {"models.py", "config.py", "results/Set5/baby.png", "run/benchmark.csv", "manifest.json"} <= set(names)
    assert not any(word in name for name in names for word in ("pth", "notes", "data"))
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        assert manifest["student_id"] == "20260001" and manifest["name"] == "同学1"
        assert all(hashlib.sha256(archive.read(name)).hexdigest() == digest
                   for name, digest in manifest["sha256"].items())
        archive.extractall(tmp_path / "opened")
    assert faults(check(tmp_path / "opened", read_facts(), data)) == set()
    assert changed_since(HandIn(tmp_path / "opened")) == []
    (tmp_path / "opened" / "models.py").write_bytes(b"a = 1")
    (tmp_path / "opened" / "more.py").write_bytes(b"")
    assert changed_since(HandIn(tmp_path / "opened")) == [("models.py", "changed"), ("more.py", "new")]


def given(kit, **files):
    """Make the kit a student edition: these files were given, and it has the list of them."""
    put(kit, {name.replace("__", "/") + ".py": text.encode() for name, text in files.items()})
    listed = {name.as_posix(): text_hash(path) for name, path in code_files(kit).items()}
    put(kit, {EDITION: json.dumps({"files": listed}).encode()})


def packed_code(kit, tmp_path):
    return [name for name in pack(kit, tmp_path / "out")[1] if name.endswith(".py")]


def test_of_the_given_code_only_what_was_changed_is_packed(kit, tmp_path, data, capsys):
    given(kit, metrics="a = 1\n", utils="b = 2\n", support__stage="c = 3\n", support__run="d = 4\n")
    assert packed_code(kit, tmp_path) == ["models.py", "solver.py"]             # these two in any case
    assert command.main(["check", str(kit), "--data", str(data)]) == 0 and "[info]" not in capsys.readouterr().out
    (kit / "metrics.py").write_bytes(b"a = 1\r\n")                              # line ends of another system
    put(kit, {"support/stage.py": b"c = 33\n", "support/mine.py": b"", "my_loss.py": b"", "utils.py": b"b = 1\n"})
    names = ["models.py", "my_loss.py", "solver.py", "support/mine.py", "support/stage.py", "utils.py"]
    assert packed_code(kit, tmp_path) == names
    assert command.main(["pack", str(kit), "--data", str(data), "--out", str(tmp_path)]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("[info]")]
    assert len(lines) == 1 and lines[0].endswith("my_loss.py (new 新增), support/mine.py (new 新增), "
                                                 "support/stage.py (changed 已改动), utils.py (changed 已改动)")


@pytest.mark.parametrize("text", [None, "no JSON", "[]", '{"files": 3}'])
def test_where_the_list_of_the_given_code_is_missing_all_is_packed_and_that_is_said(kit, tmp_path, data, capsys, text):
    given(kit, support__stage="c = 3\n")
    (kit / EDITION).unlink()
    put(kit, {EDITION: text.encode()} if text else {})
    assert packed_code(kit, tmp_path) == ["config.py", "models.py", "solver.py", "support/stage.py"]
    command.main(["check", str(kit), "--data", str(data)])
    assert f"{EDITION} is missing, so all 2 other" in capsys.readouterr().out


def test_the_command_packs_only_what_is_complete(kit, tmp_path, data, capsys):
    assert command.main(["pack", str(kit), "--data", str(data), "--out", str(tmp_path)]) == 0
    (kit / "report.md").unlink(), (tmp_path / "20260001.zip").unlink()
    assert command.main(["pack", str(kit), "--data", str(data), "--out", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "[FAIL] the required files are there · 必交文件齐全" in said.out and "未打包" in said.err
    assert not (tmp_path / "20260001.zip").exists()
    assert command.main(["pack", str(kit), "--data", str(data), "--out", str(tmp_path), "--unfinished"]) == 0
    assert (tmp_path / "20260001.zip").exists()


def test_check_is_0_only_if_all_rules_hold(kit, data):
    assert command.main(["check", str(kit), "--data", str(data)]) == 0
    (kit / "runs/mine/results/Set5/baby.png").unlink()
    assert command.main(["check", str(kit), "--data", str(data)]) == 1
    assert command.main(["check", str(kit / "nowhere")]) == 2


@pytest.mark.parametrize("line", ['student_id = "../x"', 'run = ".."', 'student_id = "a b"', "student_id = "])
def test_a_handin_toml_that_cannot_be_used_is_refused(kit, line):
    (kit / "handin.toml").write_text(line, encoding="utf-8")
    with pytest.raises(HandInError, match="handin.toml"):
        HandIn(kit)


def test_links_are_not_packed(kit, tmp_path):
    secret = tmp_path / "secret.py"
    secret.write_text("x = 1", encoding="utf-8")
    try:
        (kit / "linked.py").symlink_to(secret)
    except OSError:
        pytest.skip("this system lets nobody make links")
    assert "linked.py" not in pack(kit, tmp_path)[1]


# ---------------------------------------------------------------- course.toml

def test_the_courses_facts_are_read(tmp_path):
    path = tmp_path / "course.toml"
    path.write_text('[course]\nname = "SR"\ndeadline = 2026-12-20T23:59:59+08:00\n[roster]\n20260001 = "李"\n'
                    "[limits]\nzip_mb = 10\n", encoding="utf-8")
    facts = read_facts(path)
    assert facts.course.name == "SR" and facts.roster == {"20260001": "李"} and facts.limits.zip_mb == 10
    assert facts.course.deadline.year == 2026 and facts.limits.files == 500
    assert read_facts(tmp_path / "none.toml").points.report == 20


@pytest.mark.parametrize("text", ["[corse]\nname = 1", "[limits]\nzip = 3", '[limits]\nzip_mb = "10"',
                                  "[points]\nreport = 90",
                                  "not toml"])
def test_facts_that_cannot_be_are_refused_by_name(tmp_path, text):
    path = tmp_path / "course.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FactsError, match="course.toml"):
        read_facts(path)


def test_where_there_is_nothing_to_judge_no_rule_is_called_kept(tmp_path, capsys):
    (tmp_path / "handin.toml").write_text('student_id = "1"\nname = "a"\nrun = "mine"\n', encoding="utf-8")
    levels = {finding.rule: finding.level for finding in check(tmp_path, read_facts("none"))}
    assert {rule for rule, level in levels.items() if level == "absent"} == {"errors", "copies", "report"}
    assert command.main(["check", str(tmp_path)]) == 1 and capsys.readouterr().out.count("[ -- ]") == 3


# ---------------------------------------------------------------- the table of the five test sets

SIZES = {**SET_SIZES, "valid": 100}


def table_of_the_notebook(tmp_path, monkeypatch, sizes, networks=("pretrain", "srgan")):
    """test.ipynb where these sets ({name: number of images}) are there; its own cell makes the table."""
    notebook = nbformat.read(ROOT / "test.ipynb", as_version=4)
    cell = next(cell for cell in notebook.cells if "in_papers = " in cell.source)
    notebook.cells, shown = [cell], []
    monkeypatch.setattr(figures, "show_text", shown.append)
    row = ("x", 29.5, 0.83, {}, (29.6, 0.83))
    results = {name: {method: [row] * n for method in ("bicubic", *networks)} for name, n in sizes.items()}
    missing = {name: "There is no list" for name in TEST_SETS if name not in sizes}
    exec(cell.source, dict(
        figures=figures, solver=EasyDict(mean_of=mean_of), methods=dict.fromkeys(("bicubic", *networks)), generators={},
        published=PUBLISHED, results=results, missing=missing, how_to_get=how_to_get, data_folder="data",
        folder=tmp_path))
    cell.outputs = [new_output("display_data", data={"text/markdown": text}) for text in shown]
    return notebook


@pytest.mark.parametrize("sizes, found", [
    (SIZES, []),
    ({"demo": 5, "valid": DEMO_VALID}, [("fault", ": Set5, Set14, B100, Urban100, valid")]),       # the demo alone
    ({"Set5": 5, "valid": 100}, [("fault", ": Set14, B100, Urban100")]),
    ({"Set14": 14, "B100": 100, "Urban100": 100, "valid": 10}, [("fault", ": Set5")]),
    ({**SIZES, "Set5": 4}, [("warning", "Set5: 4 images, not 5")])])
def test_only_the_students_own_scores_count_set_by_set(tmp_path, monkeypatch, files, data, sizes, found):
    """The papers' scores stand in the same rows: a table in which only they have digits shows nothing."""
    notebook = table_of_the_notebook(tmp_path, monkeypatch, sizes)
    files = {**files, "test.ipynb": nbformat.writes(notebook).encode("utf-8")}
    findings = [finding for finding in check(put(tmp_path / "kit", files), read_facts(), data)
                if finding.rule == "table" and finding.level != "ok"]
    assert [finding.level for finding in findings] == [level for level, _ in found]
    assert all(text in finding.detail for finding, (_, text) in zip(findings, found))


def test_bicubic_alone_and_the_kits_weights_are_no_scores_of_ones_own(tmp_path, monkeypatch):
    assert five_set_table(table_of_the_notebook(tmp_path, monkeypatch, SIZES, networks=()))
    notebook = table_of_the_notebook(tmp_path, monkeypatch, SIZES)
    assert five_set_table(notebook) == []
    note = weights_to_show(get_config("demo", name="none"), {}, SHIPPED)[1]
    notebook.cells[0].outputs.insert(0, new_output("display_data", data={"text/markdown": note}))
    assert "nothing had been trained" in five_set_table(notebook)[0]


def test_the_demos_validation_images_are_counted_right():
    assert len(DEMO["valid"]) == DEMO_VALID
