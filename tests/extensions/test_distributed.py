"""Training in two processes (gloo on the CPU), as torchrun starts them."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from datasets import SRDataset, hash_numbers, make_loader
from extensions import distributed, sr3
from extensions.distributed import Leader, RankShare
from extensions.train import change, extension_config, loaders
from models import Generator
from support.convert import convert_image, to_float
from support.run import seed_everything
from support.safeguards import OutOfMemory
from tests.helpers import ROOT, write_data

TRAINING = Path(__file__).with_name("parallel_training.py")


def three_batches(config):
    return make_loader(SRDataset("train", config), 4, n_batches=3)


def test_the_parts_of_a_batch_are_the_batch_and_each_has_its_own_noise(config, monkeypatch):
    loader = three_batches(config)
    monkeypatch.setattr(distributed.distributed, "get_world_size", lambda: 2)
    seen = {}
    for rank in (0, 1):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        loader.sampler.set_epoch(3)
        seen[rank] = [(lr, hr, torch.rand(2)) for lr, hr in RankShare(loader, seed=5)]
    loader.sampler.set_epoch(3)
    for (lr, hr), first, second in zip(loader, seen[0], seen[1], strict=True):
        assert torch.equal(torch.stack([first[0], second[0]], dim=1).flatten(0, 1), lr)
        assert torch.equal(torch.stack([first[1], second[1]], dim=1).flatten(0, 1), hr)
    noise = [part[2].tolist() for parts in seen.values() for part in parts]
    assert len({tuple(numbers) for numbers in noise}) == 6
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    loader.sampler.set_epoch(3, 2)               # a run that is resumed in this epoch
    (_, _, again), = [(lr, hr, torch.rand(2)) for lr, hr in RankShare(loader, seed=5)]
    assert torch.equal(again, seen[1][2][2])


def test_a_batch_that_cannot_be_divided_is_refused(config, monkeypatch):
    monkeypatch.setattr(distributed.distributed, "get_world_size", lambda: 3)
    with pytest.raises(ValueError, match="multiple"):
        RankShare(three_batches(config), seed=0)


def test_where_the_memory_is_full_nothing_is_tried_in_one_process_alone(config):
    calls = []

    def one_epoch(*_, **__):
        calls.append(0)
        raise RuntimeError("CUDA out of memory.")
    stage = Leader("pretrain", config, Generator(config), three_batches(config), SRDataset("valid", config))
    with pytest.raises(OutOfMemory, match=r"Try config\.batch_size = 2\."):
        stage.run(one_epoch)
    assert len(calls) == 1


# ---------------------------------------------------------------- with torchrun

def two_processes(folder, *arguments, stop=0):
    """The command in two processes; ``stop`` as in parallel_training.py."""
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2",
         str(TRAINING), str(stop), *arguments],
        cwd=folder, capture_output=True, text=True, encoding="utf-8", timeout=300,       # a minute at most, if alone
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
             "CUDA_VISIBLE_DEVICES": ""})


def trained(folder, *arguments, stop=0):
    """What the command has printed."""
    done = two_processes(folder, *arguments, stop=stop)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def weights(folder, stage):
    """Those of both processes after a stage."""
    return [torch.load(Path(folder, f"{stage}_rank{k}.pth"), weights_only=True) for k in (0, 1)]


def equal(one, two):
    return all(torch.equal(a, b) for a, b in zip(one.values(), two.values(), strict=True))


@pytest.mark.long
def test_two_processes_make_the_updates_of_their_mean_gradient_and_one_of_them_writes(tmp_path):
    data = str(write_data(tmp_path / "data"))
    changes = ["crop_size=16", "batch_size=4", "channels_last=False", "sr3.epochs=1", "sr3.updates_per_epoch=3",
               "sr3.lr=1e-3", "sr3.lr_schedule=steps", "sr3.lr_milestones=[]", "sr3.warmup=0", "sr3.network.n_steps=2"]
    assert trained(tmp_path, "sr3", "--data", data, "--name", "two", "--set", *changes).count("to test it") == 1
    one, two = weights(tmp_path, "sr3")
    assert equal(one, two)
    with open(tmp_path / "runs/two/log.csv", encoding="utf-8", newline="") as file:
        assert [row["updates"] for row in csv.DictReader(file)] == ["3"]

    # The same three updates here, one process after the other.
    config = extension_config("sr3", "demo", data)
    for text in changes:
        change(config, text)
    seed_everything(config.seed)
    network, (loader, _) = sr3.build(config, "sr3"), loaders(config, "sr3")
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    network.train()
    for update, (lr, hr) in enumerate(loader):
        optimizer.zero_grad()
        for rank in (0, 1):
            number, = hash_numbers(config.seed, 0, [update], rank)
            torch.manual_seed(int(number) % 2**63)
            part = convert_image(to_float(hr[rank::2]), "[0, 1]", "[-1, 1]")
            (network.loss(to_float(lr[rank::2]), part) / 2).backward()
        optimizer.step()
    assert all(torch.allclose(a, b, atol=2e-5)
               for a, b in zip(network.state_dict().values(), one.values(), strict=True))


@pytest.mark.long
def test_two_stages_one_after_the_other_killed_in_the_second_and_given_again(tmp_path):
    command = ["srdiff", "--preset", "demo", "--set", "crop_size=16", "checkpoint_every=1",
               "srdiff_encoder.updates_per_epoch=3", "srdiff.updates_per_epoch=3"]
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    trained(tmp_path / "whole", *command)
    assert equal(*weights(tmp_path / "whole", "srdiff_encoder")) and equal(*weights(tmp_path / "whole", "srdiff"))
    assert trained(tmp_path / "whole", *command).count("This stage is complete") == 2      # at once, both processes
    trained(tmp_path / "killed", *command, stop=11)              # the encoder takes 6
    out = trained(tmp_path / "killed", *command)
    assert out.count("This stage is complete") == 1 and "1 of 2 complete, 1 updates of the next" in out
    one, two = weights(tmp_path / "killed", "srdiff")
    assert equal(one, two) and equal(one, weights(tmp_path / "whole", "srdiff")[0])


@pytest.mark.long
def test_an_error_in_the_first_process_ends_the_other(tmp_path):
    command = ["a2n", "--data", str(write_data(tmp_path / "data")), "--name", "two", "--set", "crop_size=16",
               "a2n.epochs=1", "a2n.updates_per_epoch=2"]
    trained(tmp_path, *command)
    assert equal(*weights(tmp_path, "a2n"))
    done = two_processes(tmp_path, *command, "A2N.n_channels=16", "a2n.epochs=2")        # only rank 0 reads and sees it
    assert done.returncode != 0 and "Error: runs" in done.stderr and "does not fit this A2N" in done.stderr
