"""A small training that test_kills.py kills: python killed_training.py DATA NAME [EVENT]

EVENT 3.half: kill this process in the third writing of a file, when half of it is written; 3.written: before
it is renamed; 3.old: before the new file takes the old one's place; 3.renamed: afterwards.
"""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch  # noqa: E402

from datasets import SRDataset, make_loader  # noqa: E402
from inference import load_generator  # noqa: E402
from models import Discriminator, Generator  # noqa: E402
from solver import fit_pretrain, fit_srgan  # noqa: E402
from support import files
from support.run import seed_everything  # noqa: E402
from tests.helpers import tiny_config  # noqa: E402


class DyingFile:
    """A file of which half is written; then the process is killed."""

    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, data):
        self.file.write(data[:len(data) // 2])
        self.file.flush()
        die()


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(event):
    """Have the process killed in the n-th writing of a file, at one of its moments."""
    number, moment = event.split(".")
    real, seen = {"open": open, "fsync": os.fsync, "replace": os.replace}, [0]

    def opened(path, mode="r", *rest, **options):
        file = real["open"](path, mode, *rest, **options)
        if "x" in mode:                      # how write_atomically opens its temporary file
            seen[0] += 1
            if seen[0] == int(number) and moment == "half":
                return DyingFile(file)
        return file

    def synced(handle):
        real["fsync"](handle)
        if seen[0] == int(number) and moment == "written":
            die()

    def replaced(old, new):
        last = not str(new).endswith("previous.pth")
        if seen[0] == int(number) and moment == "old" and last:
            die()
        real["replace"](old, new)
        if seen[0] == int(number) and moment == "renamed" and last:
            die()

    files.open, os.fsync, os.replace = opened, synced, replaced


def main(data, name, event=None):
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    config = tiny_config(data, name=name, checkpoint_every=3, averaging=0.95, patch_num=40, epochs=3,
                         pretrain=dict(epochs=3, lr=1e-3))
    train, valid = SRDataset("train", config), SRDataset("valid", config)
    loader = make_loader(train, config.batch_size)
    print("ready", flush=True)
    if event:
        die_at(event)
    seed_everything(config.seed)
    generator = Generator(config)
    fit_pretrain(config, generator, loader, valid)
    seed_everything(config.seed + 1)
    generator = load_generator(Path("runs", name, "checkpoints", "pretrain_last.pth"))
    fit_srgan(config, generator, Discriminator(config), None, loader, valid)
    print("finished", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
