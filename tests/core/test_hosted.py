"""The first cell of the notebooks: fetches the kit on Colab and Kaggle, and does nothing elsewhere."""

import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading

import pytest

from support import hosted
from tests.helpers import ROOT

# What the host does: its module, its folders (here below the test's own), and what the next cell of a notebook sees.
SESSION = """
import sys, types
from pathlib import Path
host, cell, repository, mounts = sys.argv[1:]
if host != "none":
    drive = types.SimpleNamespace(mount=lambda place: Path(place, "MyDrive").mkdir(parents=True, exist_ok=True))
    if mounts == "no":
        def refused(place):
            raise ValueError("mount failed")
        drive.mount = refused
    sys.modules["google.colab"] = types.SimpleNamespace(drive=drive)
    sys.modules["google"] = types.SimpleNamespace(colab=sys.modules["google.colab"])
source = Path(cell).read_text(encoding="utf-8")
assert source.count('repository = ""') == 1
exec(source.replace('repository = ""', f"repository = {repository!r}"))
print("kit:", Path.cwd())
if host != "none":
    import models
    print("models:", models.ANSWER)
"""


def cell():
    notebook = json.loads((ROOT / "train.ipynb").read_text(encoding="utf-8"))
    return "".join(notebook["cells"][1]["source"])


@pytest.fixture
def kit(tmp_path):
    """A kit of a few files, with the module that the cell calls."""
    folder = tmp_path / "made" / "kit"
    (folder / "support").mkdir(parents=True)
    shutil.copy(ROOT / "support/hosted.py", folder / "support")
    for name, text in (("support/__init__.py", ""), ("support/vgg16.py", "print('features are here')"),
                       ("models.py", "ANSWER = 1"), ("requirements.txt", "numpy>=1.0\n")):
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def session(tmp_path, host, repository, mounts="yes"):
    """Run the cell in a fresh process in an empty folder, as a host does."""
    (tmp_path / "host").mkdir(exist_ok=True)
    source = cell()
    for folder in ("/content", "/kaggle"):
        assert folder in source
        source = source.replace(f'"{folder}', f'"{(tmp_path / "host").as_posix()}{folder}')
    (tmp_path / "cell.py").write_text(source, encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if name not in ("KAGGLE_KERNEL_RUN_TYPE", "PYTHONPATH")}
    env |= {"KAGGLE_KERNEL_RUN_TYPE": "Interactive"} if host == "kaggle" else {}
    start = tmp_path / "host" / {"colab": "content", "kaggle": "kaggle/working", "none": "here"}[host]
    start.mkdir(parents=True, exist_ok=True)
    return subprocess.run([sys.executable, "-c", SESSION, host, str(tmp_path / "cell.py"), str(repository), mounts],
                          cwd=start, env={**env, "PYTHONIOENCODING": "utf-8"}, capture_output=True, text=True,
                          encoding="utf-8", timeout=120)


def git_repository(kit):
    subprocess.run(["git", "init", "--quiet"], cwd=kit, check=True)
    subprocess.run(["git", "add", "."], cwd=kit, check=True)
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "kit"], cwd=kit,
                   check=True)
    return kit.as_uri()


@pytest.fixture
def server(kit):
    """The address of a server whose kit.zip holds the kit in a folder of its own, as a release does."""
    shutil.make_archive(str(kit.parent / "kit"), "zip", kit.parent, "kit")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(kit.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_on_colab_the_kit_is_cloned_to_the_drive_and_what_is_written_there_stays(kit, tmp_path):
    address, place = git_repository(kit), tmp_path / "host/content/drive/MyDrive/srgan"
    done = session(tmp_path, "colab", address)
    assert done.returncode == 0, done.stderr
    assert f"kit: {place}" in done.stdout and "models: 1" in done.stdout and "features are here" in done.stdout
    (place / "models.py").write_text("ANSWER = 42", encoding="utf-8")
    again = session(tmp_path, "colab", "file:///gone")               # the next evening: nothing is fetched
    assert again.returncode == 0 and "models: 42" in again.stdout, again.stderr
    assert [path.name for path in place.parent.iterdir()] == ["srgan"]


def test_a_zip_file_is_fetched_from_its_address(server, tmp_path):
    done = session(tmp_path, "colab", f"{server}/kit.zip")
    assert done.returncode == 0 and "models: 1" in done.stdout, done.stderr
    assert (tmp_path / "host/content/drive/MyDrive/srgan/models.py").exists()


def test_on_kaggle_which_has_colabs_packages_too_it_is_kept_in_the_output(kit, tmp_path):
    done = session(tmp_path, "kaggle", kit)                          # a folder: a data set that was added as input
    assert done.returncode == 0 and f"kit: {tmp_path / 'host/kaggle/working/srgan'}" in done.stdout, done.stderr
    assert "Save Version" in done.stdout and "/kaggle/temp/data" in done.stdout


def test_an_uploaded_zip_file_will_do_and_a_drive_that_is_refused_is_said(server, kit, tmp_path):
    (tmp_path / "host/content").mkdir(parents=True)
    shutil.copy(kit.parent / "kit.zip", tmp_path / "host/content/srgan.zip")
    done = session(tmp_path, "colab", "srgan.zip", mounts="no")
    assert done.returncode == 0 and f"kit: {tmp_path / 'host/content/srgan'}" in done.stdout, done.stderr
    assert "Your Drive is not connected (mount failed)" in done.stdout


@pytest.mark.parametrize("repository, said", [
    ("", "no address is filled in"), ("{server}/gone.zip", "404"), ("file:///not/here", "does not"),
    ("{kit}/gone.zip", "is not a zip file"), ("{kit}/empty", "no support/hosted.py in it")])
def test_what_cannot_be_fetched_is_said_and_leaves_nothing(server, kit, tmp_path, repository, said):
    (kit / "empty").mkdir()
    done = session(tmp_path, "colab", repository.format(server=server, kit=kit.as_posix()))
    assert done.returncode == 1 and "RuntimeError: The kit could not be fetched" in done.stderr
    assert said in done.stderr.splitlines()[-1]
    assert not list((tmp_path / "host/content/drive/MyDrive").iterdir())


def test_on_ones_own_computer_it_does_nothing(kit, tmp_path):
    done = session(tmp_path, "none", kit)
    assert done.returncode == 0 and done.stdout == f"kit: {tmp_path / 'host/here'}\n" and not done.stderr
    assert not list((tmp_path / "host/here").iterdir())


def test_only_what_is_missing_or_too_old_is_installed():
    lines = ("# a comment\nnumpy>=1.26\nno-such-package>=1\nnumpy>=999\n\njupyterlab>=999\n"
             "tomli>=9; python_version < '3'")
    assert hosted.missing(lines) == ["no-such-package>=1", "numpy>=999"]


def test_what_pip_says_is_handed_on(monkeypatch):
    monkeypatch.setattr(hosted.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(
        command, 1, "", "WARNING: slow\nERROR: no route to the index"))
    with pytest.raises(RuntimeError, match=r"could not install a>=1: ERROR: no route to the index .*run this cell"):
        hosted.install(["a>=1"])


def test_every_notebook_begins_with_this_cell():
    for path in [*ROOT.glob("*.ipynb"), *ROOT.glob("extensions/*.ipynb")]:
        first, second = json.loads(path.read_text(encoding="utf-8"))["cells"][:2]
        assert "".join(second["source"]) == cell() and second["metadata"]["tags"] == ["hosted"], path.name
        assert "<!-- begin badges -->" in "".join(first["source"]), path.name
        assert not second["outputs"], path.name
