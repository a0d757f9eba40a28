"""support/weight_files.py: what a file is, and the tensors of files that others wrote."""

import io
import pickle
import sys
import types
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from inference import load_generator
from support.checkpoints import CheckpointError, load_checkpoint, read_weights, save_checkpoint
from support.weight_files import describe

STATE = {"conv.weight": torch.arange(12.0).view(4, 3), "conv.bias": torch.ones(4)}
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4" * 64 + b"\nsize 6284143\n"


def same(state, other=STATE):
    return state.keys() == other.keys() and all(torch.equal(state[name], other[name]) for name in other)


def saved(path, content, **options):
    torch.save(content, path, **options)
    return path


def packed(path, **members):
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


# ---------------------------------------------------------------- what cannot be weights

@pytest.mark.parametrize("data, words", [
    (b"", ["empty (0 bytes)", "Fetch or copy it again"]),
    (LFS, ["pointer of Git LFS", "6.3 MB", "git lfs pull"]),
    (b"\n <!DOCTYPE html><html><title>Quota exceeded", ["web page", "browser"]),
    (b"\xef\xbb\xbf<html>", ["web page"]),
    (b'{"message": "Not Found"}', ["text that begins with", "Not Found"]),
    (b"404: Not Found", ["text that begins with '404: Not Found'"]),
    (b"\x1f\x8b\x08" + bytes(40), ["packed file (gzip)", "Unpack"]),
    (b"Rar!" + bytes(40), ["packed file (RAR)"]),
    (b"\x89HDF\r\n\x1a\n" + bytes(40), ["HDF5", "PyTorch"]),
    (b"PK\x03\x04" + bytes(400), ["damaged or cut short"]),
    (b"\x93NUMPY\1\0", ["NumPy array"]), (b"\x08\x07\x12\x07pytorch\xff", ["ONNX model"]),
    (b"\x89PNG\r\n\x1a\n", ["a picture"]), (b"GGUF\3\0\0\0", ["GGUF"]),
    (pickle.dumps({"first.weight": [0.5]}), ["pickle that torch.save has not written", "nothing in it was run"]),
    (b"\x80\x02" + bytes(range(200)), ["damaged or cut short"])])
@pytest.mark.parametrize("ending", [".pth", ".safetensors", ".pth.tar"])
def test_each_reader_says_what_the_file_is(tmp_path, data, words, ending):
    path = tmp_path / f"g{ending}"
    path.write_bytes(data)
    for read in (read_weights, load_generator):
        with pytest.raises(CheckpointError) as error:
            read(path)
        assert str(path) in str(error.value)
        for part in words:
            assert part in str(error.value)


def test_zip_files_of_other_kinds(tmp_path):
    with pytest.raises(CheckpointError, match="zip file with netG.pth, .*Unpack"):
        read_weights(packed(tmp_path / "a.pth", **{"netG.pth": b"x", "readme.txt": b"y"}))
    with pytest.raises(CheckpointError, match="TorchScript.*not opened"):
        read_weights(packed(tmp_path / "b.pt", **{"net/constants.pkl": b"x", "net/data.pkl": b"y"}))


def test_a_file_that_is_cut_short(tmp_path):
    for number, options in enumerate(({}, {"_use_new_zipfile_serialization": False})):
        path = saved(tmp_path / f"{number}.pth", STATE, **options)
        path.write_bytes(path.read_bytes()[:-60])
        for read in (read_weights, load_checkpoint):
            with pytest.raises(CheckpointError, match="cut short"):
                read(path)


# ---------------------------------------------------------------- what is inside, and what is stripped

@pytest.mark.parametrize("content, said", [
    (STATE, ""),
    ({f"module.{name}": value for name, value in STATE.items()}, "prefix 'module.'"),
    ({f"_orig_mod.module.{name}": value for name, value in STATE.items()}, "prefix '_orig_mod.'"),
    ({"params": STATE}, "'params'"),
    ({"params": {"w": torch.zeros(1)}, "params_ema": STATE}, "'params_ema' (there too: params)"),
    ({"epoch": 3, "best_psnr": 30.5, "state_dict": STATE, "optimizer": {"state": {0: {"step": 1}}}}, "'state_dict'"),
    ({"discriminator": {"w": torch.zeros(1)}, "generator": STATE}, "'generator'"),
    ({"generator": {"state_dict": {f"module.{name}": value for name, value in STATE.items()}}}, "prefix 'module.'"),
    ({"weights": STATE, "epoch": 1}, "'weights'")])
@pytest.mark.parametrize("legacy", [False, True])
def test_what_can_be_stripped_is_stripped_and_said(tmp_path, capsys, content, said, legacy):
    path = saved(tmp_path / "g.pth", content, _use_new_zipfile_serialization=not legacy)
    assert same(read_weights(path))
    printed = capsys.readouterr().out
    assert said in printed and bool(printed) == bool(said)


def test_several_networks_are_named_and_one_can_be_chosen(tmp_path):
    path = saved(tmp_path / "g.pth", {"first": STATE, "second": {"w": torch.zeros(1)}})
    with pytest.raises(CheckpointError, match="several networks: first, second.*--key"):
        read_weights(path)
    assert same(read_weights(path, key="first"))
    with pytest.raises(CheckpointError, match="no network 'third', but first, second"):
        read_weights(path, key="third")


def test_a_safetensors_file_is_read_whatever_it_is_called(tmp_path):
    from safetensors.torch import save
    (tmp_path / "g.pth").write_bytes(save(STATE))
    assert same(read_weights(tmp_path / "g.pth"))
    saved(tmp_path / "g.safetensors", STATE)
    assert same(read_weights(tmp_path / "g.safetensors"))
    with pytest.raises(CheckpointError, match="no .safetensors file, whatever its ending"):
        load_generator(tmp_path / "g.safetensors")


# ---------------------------------------------------------------- pickled modules

@pytest.fixture
def pickled_module(tmp_path):
    """A function that saves a module of a class that cannot be imported where it is read; its code leaves a mark."""
    mark = tmp_path / "executed"
    source = types.ModuleType("their_models")
    exec(f"""
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.PReLU())
    def __setstate__(self, state):
        open({str(mark)!r}, "w").close()
        super().__setstate__(state)
""", source.__dict__)
    source.Net.__module__ = "their_models"

    def save(path, wrap=lambda net: net, **options):
        sys.modules["their_models"] = source
        try:
            torch.manual_seed(0)
            net = source.Net()
            net.conv(torch.rand(2, 3, 5, 5))
            torch.save(wrap(net), path, **options)
        finally:
            del sys.modules["their_models"]
        return net.state_dict()
    yield save
    assert not mark.exists()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("legacy", [False, True])
def test_of_a_pickled_module_only_the_tensors_are_read(tmp_path, capsys, pickled_module, legacy):
    path = tmp_path / "checkpoint_srresnet.pth.tar"

    def wrap(net):
        optimizer = torch.optim.Adam(net.parameters())
        net.conv(torch.rand(2, 3, 5, 5)).mean().backward()
        optimizer.step()
        return {"epoch": 3, "model": nn.DataParallel(net), "optimizer": optimizer}
    state = pickled_module(path, wrap, _use_new_zipfile_serialization=not legacy)
    loaded = read_weights(path)
    assert loaded.keys() == state.keys() and all(torch.equal(loaded[name], state[name]) for name in state)
    printed = capsys.readouterr().out
    assert "pickled module" in printed and "none of its code was run" in printed and "prefix 'module.'" in printed
    assert "their_models" not in sys.modules


def test_a_pickle_with_code_and_without_weights(tmp_path):
    class Touch:
        def __reduce__(self):
            return Path.touch, (tmp_path / "executed",)
    for number, content in enumerate((Touch(), {"w": Touch()}, {"state_dict": {"a": Touch()}})):
        path = saved(tmp_path / f"{number}.pth", content)
        with pytest.raises(CheckpointError, match="no state_dict.*nothing in it was run"):
            read_weights(path)
        with pytest.raises(CheckpointError, match="no checkpoint of this kit"):
            load_checkpoint(path)
    raw = io.BytesIO()
    pickle.dump(Touch(), raw)
    (tmp_path / "raw.pth").write_bytes(raw.getvalue())
    with pytest.raises(CheckpointError):
        read_weights(tmp_path / "raw.pth")
    assert not (tmp_path / "executed").exists()


# ---------------------------------------------------------------- the sentence of load_generator

@pytest.mark.filterwarnings("ignore")
def test_load_generator_says_what_a_foreign_file_holds_and_where_to_take_it(tmp_path, pickled_module):
    pickled_module(tmp_path / "module.pth", lambda net: {"generator": net})
    for path, words in (
            (saved(tmp_path / "plain.pth", STATE), "a state_dict of 2 tensors"),
            (saved(tmp_path / "params.pth", {"params": STATE}), "a state_dict of 2 tensors under 'params'"),
            (saved(tmp_path / "parallel.pth", {f"module.{k}": v for k, v in STATE.items()}), "the prefix 'module.'"),
            (tmp_path / "module.pth", "a whole pickled module (their_models.Net) under 'generator'"),
            (saved(tmp_path / "log.pth", {"epoch": 1, "loss": 0.5}), "entries epoch, loss, no network")):
        with pytest.raises(CheckpointError) as error:
            load_generator(path)
        assert words in str(error.value) and "import_weights FILE" in str(error.value)
        assert "damaged" not in str(error.value)


def test_a_checkpoint_of_the_kit_that_lost_its_hash(tmp_path):
    save_checkpoint(tmp_path / "a.pth", {"method": "srgan", "settings": {}, "generator": STATE})
    with pytest.raises(CheckpointError, match="load_generator"):
        read_weights(tmp_path / "a.pth")
    content = torch.load(tmp_path / "a.pth", weights_only=True)
    assert "cut short. Take an older" in describe(saved(tmp_path / "b.pth", content))


# ---------------------------------------------------------------- damage, and networks side by side

@pytest.mark.parametrize("length", [0x80, 0x8B1F])
def test_a_safetensors_file_may_begin_with_any_number(tmp_path, length):
    """Its first bytes are the length of its header: 0x80 begins a pickle too, and 1f 8b a gzip file."""
    header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(length)
    path = tmp_path / "g.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + header + bytes(4))
    assert same(read_weights(path), {"w": torch.zeros(1)})


def test_a_flipped_bit_is_said(tmp_path, capsys):
    path = saved(tmp_path / "g.pth", {"w": torch.full((64,), 3.0)})
    assert same(read_weights(path), {"w": torch.full((64,), 3.0)}) and capsys.readouterr().out == ""
    data = bytearray(path.read_bytes())
    data[data.index(torch.full((64,), 3.0).numpy().tobytes()) + 2] ^= 1
    path.write_bytes(data)
    assert not same(read_weights(path), {"w": torch.full((64,), 3.0)})                # torch reads it all the same
    said = capsys.readouterr().out
    assert "is damaged" in said and "does not have its checksum" in said and "Fetch or copy it again" in said


@pytest.mark.parametrize("prefix", ["generator.", "netG.", "net_g.", "netG.module."])
@pytest.mark.parametrize("others", [{}, {"discriminator.0.weight": torch.zeros(2), "vgg.0.bias": torch.zeros(1)}])
def test_of_a_lightning_module_the_generator_is_taken(tmp_path, capsys, prefix, others):
    state = {**others, **{prefix + name: value for name, value in STATE.items()}}
    path = saved(tmp_path / "last.ckpt", {"epoch": 3, "state_dict": state, "hyper_parameters": {"lr": 1e-4}})
    assert same(read_weights(path))
    said = capsys.readouterr().out
    assert "the prefix" in said and ("there too: discriminator, vgg" in said) == bool(others)
