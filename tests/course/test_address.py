"""The repository's address: one setting, written into each place; where there is none, nothing broken is shown."""

import json
import shutil

import pytest

from course import __main__ as command
from course import address as places
from course import release
from course.facts import FactsError, read_facts
from tests.helpers import ROOT

ADDRESS = "https://github.com/school/srgan-2026"
FILES = ("README.md", "README.zh-CN.md", "CITATION.cff", "course.toml", "train.ipynb", "test.ipynb",
         "super_resolution.ipynb", "extensions/a2n.ipynb")


@pytest.fixture
def kit(tmp_path):
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def texts(kit):
    return {name: (kit / name).read_text(encoding="utf-8") for name in FILES}


def fill_in(kit, address, key="repository"):
    text = (kit / "course.toml").read_text(encoding="utf-8")
    assert text.count(f'\n{key} = ""') == 1
    (kit / "course.toml").write_text(text.replace(f'\n{key} = ""', f'\n{key} = "{address}"'), encoding="utf-8")


def test_the_stored_files_agree_with_the_setting():
    stored = read_facts(ROOT / "course.toml").course.repository
    for name in FILES:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert places.with_address(name, text, stored) == text, f"run python -m course address ({name})"


def test_one_command_writes_it_everywhere_and_takes_it_out_again(kit, capsys):
    before = texts(kit)
    assert not [name for name, text in before.items() if "colab-badge" in text or "open-in-kaggle" in text]
    fill_in(kit, ADDRESS)
    assert command.main(["address", str(kit)]) == 0
    filled = texts(kit)
    assert f'repository-code: "{ADDRESS}"\n' in filled["CITATION.cff"]
    for name in FILES[4:]:
        first, second = ("".join(cell["source"]) for cell in json.loads(filled[name])["cells"][:2])
        assert f"](https://colab.research.google.com/github/school/srgan-2026/blob/main/{name})" in first
        assert f"](https://kaggle.com/kernels/welcome?src={ADDRESS}/blob/main/{name})" in first
        assert f'\nrepository = "{ADDRESS}"  ' in second and 'repository = ""' not in second
        compile(second, name, "exec")
    for page in FILES[:2]:
        assert filled[page].count("colab-badge.svg") == filled[page].count("open-in-kaggle.svg") == 3
    assert command.main(["address", str(kit)]) == 0 and texts(kit) == filled
    assert "Nothing to change" in capsys.readouterr().out
    (kit / "course.toml").write_text(before["course.toml"], encoding="utf-8")
    assert command.main(["address", str(kit)]) == 0 and texts(kit) == before


def test_a_branch_and_another_server_are_understood():
    assert "srgan/blob/2026/train.ipynb" in places.badges("https://github.com/a/srgan.git/tree/2026", "train.ipynb")
    source = places.cell_source("https://github.com/a/srgan/tree/2026")
    assert '\nrepository = "https://github.com/a/srgan/archive/refs/heads/2026.zip"' in source
    other = "https://gitee.com/school/srgan"                     # no host opens a notebook from there
    assert places.badges(other, "train.ipynb") == "" and f'repository = "{other}"' in places.cell_source(other)


@pytest.mark.parametrize("address", ["github.com/a/b", "https://a b", 'https://a/"b'])
def test_what_is_no_address_is_refused(kit, address, capsys):
    with pytest.raises(FactsError, match="course.repository is .*https://github.com/OWNER/NAME"):
        places.checked(address, "repository")


def test_the_student_edition_has_its_own_address(tmp_path, monkeypatch):
    facts = read_facts(ROOT / "course.toml")
    facts.course.update(repository="https://github.com/school/complete", student_repository=ADDRESS)
    monkeypatch.setattr(release, "read_facts", lambda path: facts)
    monkeypatch.setattr(release, "make_bundle", lambda *args, **more: None)
    release.release(tmp_path / "edition", tmp_path / "hidden.zip")
    edition = tmp_path / "edition"
    found = read_facts(edition / "course.toml").course
    assert found.repository == ADDRESS and "student_repository" not in (edition / "course.toml").read_text("utf-8")
    for name in ("train.ipynb", "README.md", "README.zh-CN.md"):
        text = (edition / name).read_text(encoding="utf-8")
        assert f"{ADDRESS.removeprefix('https://')}/blob/main/train.ipynb" in text
    assert not [path for path in edition.rglob("*") if path.suffix in (".md", ".ipynb", ".toml", ".py")
                and "school/complete" in path.read_text(encoding="utf-8")]
