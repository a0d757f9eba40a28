"""support/vgg19.py: the weights of VGG19 from their server, a mirror or a folder.  A small file stands for them."""

import hashlib
from types import SimpleNamespace

import pytest
import torchvision

from support import vgg19

DATA = bytes(range(256)) * 40
NAME = f"vgg19-{hashlib.sha256(DATA).hexdigest()[:8]}.pth"


@pytest.fixture
def cache(server, tmp_path, monkeypatch):
    """Where torch keeps the file; the published address is that of ``server``."""
    server.files = {NAME: DATA, f"mirrored/{NAME}": DATA}
    weights = SimpleNamespace(IMAGENET1K_V1=SimpleNamespace(url=server.url + NAME))
    monkeypatch.setattr(torchvision.models, "VGG19_Weights", weights)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home/hub/checkpoints"


def test_the_real_name_holds_the_beginning_of_the_hash():
    assert torchvision.models.VGG19_Weights.IMAGENET1K_V1.url.endswith("/vgg19-dcbb9e9d.pth")


def test_they_are_fetched_once(cache, server):
    assert vgg19.fetch_vgg19() == vgg19.fetch_vgg19() == cache / NAME
    assert (cache / NAME).read_bytes() == DATA and len(server.ranges) == 1


def test_an_interrupted_download_resumes(cache, server):
    server.break_after = 3000
    with pytest.raises(RuntimeError, match="broke off"):
        vgg19.fetch_vgg19()
    assert [path.name for path in cache.iterdir()] == [NAME + ".part"]
    assert vgg19.fetch_vgg19().read_bytes() == DATA and server.ranges == [None, "bytes=3000-"]


def test_another_file_is_refused_by_its_hash(cache, server):
    server.files[NAME] = DATA[:-1] + b"!"
    with pytest.raises(RuntimeError, match="has the SHA256 .* instead of"):
        vgg19.fetch_vgg19()
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("address", [f"mirrored/{NAME}", "mirrored", "mirrored/"])
def test_a_mirror_is_a_file_or_a_folder(cache, server, address, capsys):
    del server.files[NAME]
    assert vgg19.main(["--url", server.url + address]) == 0
    assert (cache / NAME).read_bytes() == DATA and str(cache / NAME) in capsys.readouterr().out


def test_a_folder_replaces_the_internet(cache, server, tmp_path, capsys):
    folder = tmp_path / "carried"
    folder.mkdir()
    assert vgg19.main(["--from", str(folder)]) == 1
    assert f"There is no {NAME} in {folder}, which holds nothing." in capsys.readouterr().err
    (folder / NAME).write_bytes(DATA[:-1])
    assert vgg19.main(["--from", str(folder)]) == 1 and "has the SHA256" in capsys.readouterr().err
    (folder / NAME).write_bytes(DATA)
    assert vgg19.main(["--from", str(folder)]) == 0
    assert [path.name for path in cache.iterdir()] == [NAME] and (folder / NAME).exists() and server.ranges == []


def test_without_network_the_error_says_what_to_do(cache, monkeypatch):
    weights = SimpleNamespace(IMAGENET1K_V1=SimpleNamespace(url=f"http://127.0.0.1:9/{NAME}"))
    monkeypatch.setattr(torchvision.models, "VGG19_Weights", weights)
    with pytest.raises(RuntimeError) as error:
        vgg19.fetch_vgg19()
    for words in ("cannot be reached", "--url ADDRESS", "--from FOLDER", str(cache / NAME), "browser", "content_loss"):
        assert words in str(error.value)
    for way in ("--url", str(cache / NAME)):
        assert str(error.value).count(way) == 1
