"""Every part of the benchmarks runs once, on tiny inputs: what is measured does not matter here, that it runs does."""

import os
import pickle
import re
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import common, cuda, measure

TINY = common.Sizes(
    image=(128, 192), n_images=2, patch_num=8, crop_size=16, batch_size=4, n_batches=(2, 1), srgan_batch_sizes=(2,),
    generator=dict(large_kernel_size=5, small_kernel_size=3, n_channels=4, n_blocks=1),
    discriminator=dict(kernel_size=3, n_channels=4, n_blocks=4, fc_size=8), vgg=(1, 1),
    a2n_blocks=(1,), a2n_side=16, pairs=1, step_pairs=2, matrices=(32,), seconds=0.02, updates=4, apart=False)

# Part -> a pattern of each of its rows (of what is measured, and of how), in order.
ROWS = {
    "loading": ["training pairs, one process, batches of 4.*by decoding", "pairs a second.*crop 16"],
    "store": ["second epoch.*first epoch: 4$", "second run.*first run: 4$"],
    "resize": ["imresize 192 x 128 x 3 by 1/4.*same bytes"],
    "metrics": [r"PSNR \+ SSIM of a 192 x 128 pair"],
    "step": ["pre-training step.*batch 4.*same loss", "matrix rate.*GFLOP a step"],
    "srgan": ["SRGAN step.*VGG 1,1, batch 2.*same losses"],
    "enlarge": ["upscaling 48 x 32 to 192 x 128"],          # and a row of the memory, where it is measured
    "large": [r"192 x 128 to 768 x 512.*\(512, 768, 3\)"],
    "a2n": ["A2N-M, 1 blocks: training update, batch 8, LR patch 4", "upscaling to 64 x 64"],
    "cuda": ["CUDA"],
}
ALL = {**command.PARTS, **command.ALONE}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """The work folder that the parts share, as in the command."""
    return tmp_path_factory.mktemp("work")


@pytest.mark.parametrize("name", ALL)
def test_each_part_of_the_speed_table_runs(name, work):
    assert name in ROWS, f"say in ROWS what the part {name!r} measures"
    rows = ALL[name](work, TINY)
    for row, pattern in zip(rows, ROWS[name], strict=False):
        assert isinstance(row, common.Row) and re.search(pattern, f"{row.what}; {row.note}"), row
        command.shown(row), command.bound(row), command.reached(row)
    assert len(rows) == len(ROWS[name]) or name in ("enlarge", "cuda") and len(rows) > len(ROWS[name])
    if name == "store":
        assert [row.value for row in rows] == [0, 0]


def test_calls_are_counted_whatever_their_arguments_and_passed_on():
    def add(a, b=1, *, c=0):
        return a + b + c
    module = SimpleNamespace(add=add)
    with measure.calls_of(module, "add") as calls:
        assert module.add(1) == 2 and module.add(1, 2, c=3) == 6
    assert calls == [((1,), {}), ((1, 2), {"c": 3})] and module.add is add
    with pytest.raises(AttributeError), measure.calls_of(module, "subtract"):
        pass


def test_a_way_in_this_process_takes_only_what_could_be_sent_to_another():
    result = measure.side_by_side((partial, os.getpid), (partial, abs, -3), pairs=1, apart=False)
    assert result["values"] == [os.getpid(), 3] and len(result["seconds"]) == 1
    with pytest.raises((AttributeError, pickle.PicklingError)):
        measure.WayHere(lambda: None)


def test_the_table_of_a_card_is_made_of_the_steps_that_train(work, monkeypatch):
    """The same code on the CPU, in bfloat16: no card is needed to know that it runs."""
    monkeypatch.setattr(torch, "compile", lambda network: network)
    rows = cuda.table_of(common.pairs_folder(work, TINY), "cpu", "a CPU", "bf16", TINY, workers=0)
    assert [row.what.split(" on ")[0] for row in rows[::4]] == ["pre-training"] * 2 + ["SRGAN"] * 2
    assert all(row.value > 0 for row in rows) and all(row.value < 100 for row in rows[3::4])
