"""What goes wrong in training is noticed, explained and survived."""

import json
import os
import random
import re
import shutil
import signal
import sys
import threading
import time

import pytest
import torch

from datasets import SRDataset, make_loader
from models import Discriminator, Generator
from solver import fit_pretrain
from support import provenance
from support.checkpoints import CheckpointError, DamagedCheckpoint, load_checkpoint, load_weights, save_checkpoint
from support.figures import LiveCurves
from support.run import run_folder
from support.safeguards import OutOfMemory, StopRequest, TrainingDiverged, TrainingMonitor, largest_that_fits
from tests.helpers import Stop, differences, fit, interrupt, last, run_of, tiny_config, write_image

pytestmark = pytest.mark.slow        # trainings, stopped and resumed


def checkpoint_path(config, which="last", stage="pretrain"):
    return run_folder(config) / "checkpoints" / f"{stage}_{which}.pth"


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= 16
    path.write_bytes(data)


# ---------------------------------------------------------------- Ctrl-C

def press():
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("stage", ["pretrain", pytest.param("srgan", marks=pytest.mark.slow)])
@pytest.mark.parametrize("update", [4, 10, 13, 20], ids=str)
def test_ctrl_c_completes_the_update_and_saves_first(config, capsys, stage, update):
    whole, stopped, before = run_of(config, "whole"), run_of(config, "stopped"), signal.getsignal(signal.SIGINT)
    fit(whole, stage)
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, stage, Stop(update, press))
    saved = last(stopped, stage)
    assert 10 * saved["epoch"] + saved["update"] == update
    out = capsys.readouterr().out
    assert "everything is saved first" in out and str(checkpoint_path(stopped, "last", stage)) in out
    assert signal.getsignal(signal.SIGINT) is before
    fit(stopped, stage)
    assert differences(last(whole, stage), last(stopped, stage)) == []


def test_a_second_ctrl_c_stops_at_once(config):
    def twice():
        press()
        press()
    with pytest.raises(KeyboardInterrupt):
        fit(config, "pretrain", Stop(4, twice))
    assert last(config, "pretrain")["update"] == 0           # nothing was saved in the middle of an update


def test_in_another_thread_no_handler_is_set():
    made = []

    def work():
        with StopRequest() as request:
            made.append(request.made)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert made == [False]


# ---------------------------------------------------------------- the disk

@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_disk_that_is_full_ends_training_and_loses_nothing(config, capsys):
    import resource
    config.update(checkpoint_every=3)
    whole, full = run_of(config, "whole"), run_of(config, "full")
    fit(whole, "pretrain")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(OSError, match=r"pretrain_last\.pth.*could not be written.*is unchanged.*run this again"):
            fit(full, "pretrain", Stop(13, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (last(full, "pretrain")["epoch"], last(full, "pretrain")["update"]) == (1, 3)
    fit(full, "pretrain")
    assert differences(last(whole, "pretrain"), last(full, "pretrain")) == []


def test_a_folder_that_cannot_be_written_is_named_before_anything_is_trained(config):
    run_folder(config).parent.mkdir()
    run_folder(config).write_text("a file where the folder should be")
    with pytest.raises(OSError, match=r"config\.json.*could not be written"):
        fit(config, "pretrain", Stop(1, lambda: pytest.fail("training has begun")))


@pytest.mark.parametrize("log", [b"", b"\xff\xfe no table", b"stage;epoch\npretrain;1\n", b"a,b\n1,2,3\n\n"])
def test_a_log_that_was_spoiled_and_samples_that_were_deleted_stop_nothing(stopped, log):
    (run_folder(stopped) / "log.csv").write_bytes(log)
    shutil.rmtree(run_folder(stopped) / "samples")
    fit(stopped, "pretrain", LiveCurves())
    lines = (run_folder(stopped) / "log.csv").read_text("utf-8").splitlines()
    assert [line.split(",")[:2] for line in lines] == [["stage", "epoch"], ["pretrain", "1"], ["pretrain", "2"]]


# ---------------------------------------------------------------- damaged checkpoints

@pytest.fixture
def stopped(config):
    """A run that was stopped in its second epoch: its last checkpoint and the one before it are there."""
    config.update(checkpoint_every=3)
    with pytest.raises(KeyboardInterrupt):
        fit(config, "pretrain", Stop(17, interrupt))
    return config


@pytest.mark.parametrize("fault", ["flipped", "cut", "empty", "gone"])
def test_the_checkpoint_before_a_damaged_one_is_taken_with_a_notice(stopped, capsys, fault):
    whole, path = run_of(stopped, "whole"), checkpoint_path(stopped)
    fit(whole, "pretrain")
    {"flipped": lambda: flip(path, 5000), "cut": lambda: path.write_bytes(path.read_bytes()[:-1]),
     "empty": lambda: path.write_bytes(b""), "gone": path.unlink}[fault]()
    capsys.readouterr()
    fit(stopped, "pretrain")
    out = capsys.readouterr().out
    assert re.search(r"Notice: .*pretrain_last\.pth.*pretrain_previous\.pth is used", out)
    assert "epoch 1 of 2 complete, 3 updates" in out
    assert checkpoint_path(stopped, "damaged").exists() == (fault != "gone")
    assert differences(last(whole, "pretrain"), last(stopped, "pretrain")) == []


def test_the_one_before_is_gone_back_to_as_well_when_training_diverges_at_once(stopped):
    checkpoint_path(stopped).unlink()
    stopped.pretrain.lr = 1e20
    with pytest.raises(TrainingDiverged, match=r"back at the last good checkpoint, .*pretrain_previous\.pth"):
        fit(stopped, "pretrain")


def test_where_both_are_damaged_nothing_is_started_again(stopped):
    for which in ("last", "previous"):
        flip(checkpoint_path(stopped, which), 4000)
    before = {which: checkpoint_path(stopped, which).read_bytes() for which in ("last", "previous")}
    with pytest.raises(DamagedCheckpoint, match="previous"):
        fit(stopped, "pretrain")
    assert before == {which: checkpoint_path(stopped, which).read_bytes() for which in before}


def test_where_both_are_gone_what_is_left_is_not_overwritten(stopped):
    for which in ("last", "previous"):
        checkpoint_path(stopped, which).unlink()
    left = sorted(path.name for path in checkpoint_path(stopped).parent.iterdir())
    with pytest.raises(CheckpointError, match=r"holds pretrain_best\.pth.*another run name"):
        fit(stopped, "pretrain")
    assert left == sorted(path.name for path in checkpoint_path(stopped).parent.iterdir())


def assert_any_damage_is_noticed(path, places):
    data = path.read_bytes()
    for place in places:
        flipped = bytearray(data)
        flipped[place] ^= 1 << place % 8
        for damaged in (bytes(flipped), data[:place]):
            path.write_bytes(damaged)
            with pytest.raises(CheckpointError, match=re.escape(path.name)):
                load_checkpoint(path)
    path.write_bytes(data)
    load_checkpoint(path)


def test_a_bit_flipped_or_a_cut_anywhere_is_noticed(stopped):
    size = checkpoint_path(stopped).stat().st_size
    assert_any_damage_is_noticed(checkpoint_path(stopped), random.Random(0).sample(range(size), 100))


@pytest.mark.long
def test_a_bit_flipped_or_a_cut_at_every_byte_is_noticed(tmp_path):
    save_checkpoint(tmp_path / "a.pth", {"epoch": 1, "weights": {"w": torch.arange(100.)}})
    assert_any_damage_is_noticed(tmp_path / "a.pth", range((tmp_path / "a.pth").stat().st_size))


def refused(config, change, match):
    """A checkpoint that was changed is refused by name, and the networks stay as they were."""
    path = checkpoint_path(config)
    content = load_checkpoint(path)
    change(content)
    save_checkpoint(path, content)
    generator = Generator(config)
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    with pytest.raises(CheckpointError, match=match):
        fit_pretrain(config, generator, make_loader(SRDataset("train", config), 4), SRDataset("valid", config))
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())


@pytest.mark.parametrize("change, match", [
    (lambda c: c.update(method="a2n"), r"pretrain_last\.pth is of a2n.*not of srgan"),
    (lambda c: c.update(stage="srgan"), r"pretrain_last\.pth is of srgan, stage srgan, not of srgan, stage pretrain"),
    (lambda c: c["averaged"].pop("last.bias"), r"(?s)pretrain_last\.pth \(averaged\).*last\.bias is missing"),
    (lambda c: c["generator"].update(other=torch.ones(1)), r"(?s)\(generator\).*other is not expected"),
    (lambda c: c["averaged"].update({"last.bias": torch.ones(5)}), r"(?s)last\.bias is \(5,\) instead of \(3,\)")])
def test_a_checkpoint_of_another_kind_is_refused_by_name(stopped, change, match):
    refused(stopped, change, match)


def test_another_format_version_is_refused_by_name(stopped, monkeypatch):
    monkeypatch.setattr("support.checkpoints.FORMAT", 2)
    with pytest.raises(CheckpointError, match=r"pretrain_last\.pth has the checkpoint format 1; .* reads format 2"):
        load_checkpoint(checkpoint_path(stopped))


def test_weights_that_do_not_fit_leave_the_network_as_it_was():
    torch.manual_seed(0)
    network = Discriminator(n_channels=4, n_blocks=2, fc_size=8)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = {name: value + 1 for name, value in before.items()}
    name = list(state)[-1]
    state[name] = torch.ones(7)
    with pytest.raises(CheckpointError, match=re.escape(name)):
        load_weights(network, state, "homework.pth")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


# ---------------------------------------------------------------- gradients and the discriminator

def gradients(monitor, *norms):
    for norm in norms:
        monitor.gradient("generator", torch.tensor(float(norm)))
    monitor.check(0, len(norms))


def test_an_exploding_gradient_is_told_once_an_epoch(capsys):
    monitor = TrainingMonitor(exploding_gradient=100)
    gradients(monitor, *[1, 2, 0.5] * 10, 60, *[1] * 5)
    assert capsys.readouterr().out == ""
    gradients(monitor, 500)
    out = capsys.readouterr().out
    assert "gradient of the generator has exploded" in out and "divide config.pretrain.lr" in out
    gradients(monitor, 500)
    assert capsys.readouterr().out == ""
    gradients(monitor, 1, float("inf"), float("nan"))          # float16's overflow is for its loss scaling
    assert capsys.readouterr().out == ""


def test_the_first_gradients_are_not_measured_against_each_other(capsys):
    gradients(TrainingMonitor(), 1e-6, 1000, *[1] * 10)
    assert capsys.readouterr().out == ""


def test_a_discriminator_has_won_when_its_loss_stays_low(capsys):
    monitor = TrainingMonitor(d_has_won_loss=0.01, d_has_won_updates=5)
    for value in [0.001] * 4 + [0.02] + [0.001] * 4:
        monitor.discriminator(torch.tensor(value))
    monitor.check(0, 9)
    assert capsys.readouterr().out == ""
    monitor.discriminator(torch.tensor(0.001))
    monitor.check(0, 10)
    out = capsys.readouterr().out
    assert "discriminator has won" in out and "for 5 updates in a row" in out and "config.lr_d" in out


def test_a_layer_that_is_not_used_is_no_trouble(config):
    generator = Generator(config)
    generator.forgotten = torch.nn.Conv2d(3, 3, 1)
    fit_pretrain(config, generator, make_loader(SRDataset("train", config), 4), SRDataset("valid", config))
    assert generator.forgotten.weight.grad is None


@pytest.mark.slow
@pytest.mark.parametrize("on_trouble", ["stop", "continue"])
def test_a_discriminator_that_wins_stops_training_or_not_as_configured(config, capsys, on_trouble):
    config.update(on_trouble=on_trouble, d_has_won_loss=100, d_has_won_updates=13, checkpoint_every=4)
    quiet = run_of(config, "quiet", d_has_won_loss=0.0)
    fit(quiet, "srgan")
    if on_trouble == "continue":
        fit(config, "srgan")
        assert "discriminator has won" in capsys.readouterr().out
        assert differences({**last(quiet, "srgan"), "config": 0}, {**last(config, "srgan"), "config": 0}) == []
        return
    with pytest.raises(TrainingDiverged, match="(?s)discriminator has won.*back at the last good checkpoint") as error:
        fit(config, "srgan")
    assert "epoch 2, update 0" in str(error.value)            # update 13 is the third of the second epoch
    assert last(config, "srgan")["epoch"] == 1


def test_an_unknown_way_of_going_on_is_refused(config):
    with pytest.raises(ValueError, match="on_trouble"):
        config.on_trouble = "ignore"
    with pytest.raises(ValueError, match="on_trouble"):
        TrainingMonitor("ignore")


# ---------------------------------------------------------------- memory of the card

class SmallCard(Generator):
    """A generator on a card whose memory takes batches of five and no more."""

    def forward(self, lr):
        if self.training and len(lr) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().forward(lr)


@pytest.fixture
def out_of_memory(monkeypatch):
    if not hasattr(torch, "OutOfMemoryError"):                # before torch 2.5
        monkeypatch.setattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError, raising=False)


def test_a_full_card_is_told_with_a_batch_size_that_fits(config, out_of_memory):
    config.batch_size = 16
    generator = SmallCard(config)
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    with pytest.raises(OutOfMemory, match=r"config\.batch_size = 4\b"):
        fit_pretrain(config, generator, make_loader(SRDataset("train", config), 16), SRDataset("valid", config))
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())
    config.batch_size = 4
    fit_pretrain(config, generator, make_loader(SRDataset("train", config), 4), SRDataset("valid", config))


def test_where_not_even_one_patch_fits_a_smaller_crop_is_advised(config, out_of_memory):
    generator = Generator(config)
    generator.register_forward_pre_hook(lambda network, _: network.training and full())

    def full():
        raise torch.OutOfMemoryError("CUDA out of memory.")
    with pytest.raises(OutOfMemory, match=r"config\.crop_size = 8"):
        fit_pretrain(config, generator, make_loader(SRDataset("train", config), 4), SRDataset("valid", config))


def test_another_error_is_not_taken_for_a_full_card(config):
    def attempt(n):
        raise RuntimeError("shapes do not fit")
    with pytest.raises(RuntimeError, match="shapes"):
        largest_that_fits(8, attempt)


# ---------------------------------------------------------------- worker processes

class Dying(torch.utils.data.Dataset):
    """Batches that this process can cut, but a worker only ``good`` of them."""

    def __init__(self, dataset, good):
        self.dataset, self.good, self.seed = dataset, good, dataset.seed

    def __len__(self):
        return len(self.dataset)

    def batch(self, epoch, indices):
        if torch.utils.data.get_worker_info() is not None:
            self.good -= 1
            if self.good < 0:
                os.kill(os.getpid(), signal.SIGKILL) if hasattr(signal, "SIGKILL") else os._exit(1)
        return self.dataset.batch(epoch, indices)


def test_news_of_a_dead_worker_that_arrives_while_the_workers_are_ended_is_no_error(config, monkeypatch):
    loader = make_loader(SRDataset("train", config), 4, workers=2)

    def news(*_):
        raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Killed.")
    monkeypatch.setattr(loader, "_iterator", type("Iterator", (), {"_shutdown_workers": news})())
    loader.end_workers()
    assert loader._iterator is None


@pytest.mark.parametrize("good", [0, 2])
def test_workers_that_die_are_replaced_by_this_process(config, capsys, good):
    dataset = SRDataset("train", config)
    expected = make_loader(dataset, 4)
    loader = make_loader(Dying(dataset, good), 4, workers=2)
    for epoch in (0, 1):
        for one in (expected, loader):
            one.sampler.set_epoch(epoch, 1)
        pairs = list(zip(expected, loader, strict=True))
        assert len(pairs) == 9 and all(torch.equal(a, b) for x, y in pairs for a, b in zip(x, y, strict=True))
    out = capsys.readouterr().out
    assert out.count("Notice") == 1 and "2 worker processes" in out and "config.workers = 0" in out


def test_an_error_in_a_batch_is_not_taken_for_a_worker_that_dies(config):
    dataset = SRDataset("train", config)
    dataset.batch = lambda *_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        next(iter(make_loader(dataset, 4)))


# ---------------------------------------------------------------- where a result comes from

def test_the_run_folder_says_where_the_result_comes_from(config, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/super_train.py", "--name", "a b"])
    fit(config, "pretrain")
    fit(config, "pretrain")                                   # complete already, and nothing has changed
    fit(config, "srgan")
    starts = json.loads((run_folder(config) / "provenance.json").read_text("utf-8"))
    assert [start["stage"] for start in starts] == ["pretrain", "srgan"]
    first = starts[0]
    assert first["seed"] == 3 and first["torch"] == torch.__version__ and first["threads"] == torch.get_num_threads()
    assert len(first["code_sha256"]) == len(first["data_sha256"]) == 64
    assert first["command"] == starts[1]["command"] == "super_train.py --name 'a b'"       # no folder of this machine
    assert first["data_sha256"] == starts[1]["data_sha256"]


def test_the_code_hash_is_the_same_for_both_line_ends_and_another_for_other_code(tmp_path):
    hashes = []
    for n, text in enumerate([b"a = 1\nb = 2\n", b"a = 1\r\nb = 2\r\n", b"a = 1\nb = 3\n"]):
        (tmp_path / str(n)).mkdir()
        (tmp_path / str(n) / "models.py").write_bytes(text)
        hashes.append(provenance.code_hash(tmp_path / str(n)))
    assert hashes[0] == hashes[1] != hashes[2]


def test_images_that_have_changed_since_are_named_on_resuming(own_data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config = tiny_config(own_data, checkpoint_every=3)
    with pytest.raises(KeyboardInterrupt):
        fit(config, "pretrain", Stop(14, interrupt))
    time.sleep(0.02)
    image = 255 - SRDataset("train", config).store.get(own_data / "HR" / "cup.png")
    write_image(own_data / "HR" / "cup.png", image)
    capsys.readouterr()
    fit(config, "pretrain")
    assert re.search(r"Notice: the result will differ.*'train', changed since: cup\.png \(row", capsys.readouterr().out)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(config):
    first, second, third = (run_of(config, name, seed=seed) for name, seed in (("a", 3), ("b", 3), ("c", 4)))
    for one in (first, second, third):
        fit(one, "srgan")
    assert differences(last(first, "srgan"), last(second, "srgan")) == []
    assert differences(last(first, "srgan")["generator"], last(third, "srgan")["generator"]) != []
