"""The images: training patches, test pairs, the loader."""

import contextlib
import os
import pickle
import signal
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from metrics import three_channels
from support.convert import to_float
from support.image_store import ImageStore, StoreError  # noqa: F401
from support.lists import (  # noqa: F401
    DataError,
    MissingList,
    fit_pair,
    leave_out,
    list_path,
    read_list,
    too_small,
    unique_names,
)
from support.messages import few, notice
from support.safeguards import outlive_sigterm

# ---------------------------------------------------------------- the dataset

class SRDataset(Dataset):
    """HR/LR pairs of one split.  ``dataset[i]`` is ``(lr, hr)``, float32 tensors in [0, 1];
    ``batch`` gives many patches at once, as bytes.

    ``train``: patches, ``config.patch_num`` (default 100) of every image: LR (3, c/s, c/s)
    and HR (3, c, c) with c = ``config.crop_size``, aligned, in one of the eight flips and
    rotations.  Which patch index i gives in epoch e is a function of (seed, e, i) alone;
    ``set_epoch`` chooses e, and ``make_loader`` does so by itself.

    Every other split: whole pairs, LR (3, h, w) and HR (3, s h, s w); ``pair(i)`` gives
    the same as 8-bit arrays, grey HR kept grey, as it is measured.

    Args:
        split: "train", "valid", "Set5", ...: the list ``<split>_images.csv`` is read.
        config: csv_folder, scaling_factor and, for training, crop_size; also read where
            present: HR_data_folder, LR_data_folder, patch_num, seed, and store, the folder
            of the decoded images (default: ``.store`` in csv_folder; None: in memory).

    Rows that cannot be used are left out, with a notice that names each and says why.

    Raises:
        DataError: if there is no list, or no row of it can be used.
        StoreError: if the decoded images do not fit on the disk.
    """

    def __init__(self, split, config):
        self.split = split
        self.scale = config.get("scaling_factor", 4)
        self.seed = config.get("seed", 0)
        self.store = ImageStore(config.get("store", Path(config.csv_folder, ".store")))
        # Shared memory: worker processes that outlive an epoch see the next one too.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

        self.pairs, sizes, faults = [], [], []
        pairs = read_list(split, config)
        unreadable = self.store.prepare(sorted({p for pair in pairs for p in (pair.hr, pair.lr)}), split)
        for pair in pairs:
            wrong = [unreadable[path] for path in (pair.hr, pair.lr) if path in unreadable]
            wrong = wrong or self._misfit(pair)
            faults += [f"row {pair.row}: {text}" for text in wrong]
            if not wrong:
                sizes.append([length // self.scale for length in self.store.get(pair.hr).shape[:2]])
                self.pairs.append(pair)
        leave_out(list_path(config.csv_folder, split), faults, len(self.pairs))

        self.patch_num = self.crop = None
        if split == "train":
            self.patch_num, self.crop = config.get("patch_num", 100), config.crop_size
            if self.crop % self.scale:
                raise DataError(f"crop_size {self.crop} is not divisible by the scaling factor {self.scale}.")
            sizes = self._leave_out_small(sizes)
        self.lr_sizes = np.array(sizes)                          # (n_images, 2): h, w

    def _misfit(self, pair):
        """Why a pair whose files are whole cannot be used: a list of one sentence, or of none."""
        hr_shape, lr_shape = self.store.get(pair.hr).shape, self.store.get(pair.lr).shape
        try:
            fit_pair(hr_shape, lr_shape, self.scale)
        except DataError as error:
            return [f"{pair.lr.name}: {error}. Make or fetch it again."]
        # Found here, and not by the first validation, after an epoch.
        reason = "" if self.split == "train" else too_small(hr_shape, self.scale)
        return [f"{pair.hr.name}: {reason}."] if reason else []

    def _leave_out_small(self, sizes):
        large = [min(size) * self.scale >= self.crop for size in sizes]
        small = [f"{pair.hr.name} (row {pair.row})" for pair, is_large in zip(self.pairs, large) if not is_large]
        if small:
            notice(f"{len(small)} of {len(large)} training images are left out, because they are smaller than a "
                   f"crop of {self.crop}: {few(small, 5)}. config.crop_size = {self.scale * np.min(sizes)} "
                   "would include them all.")
        if not any(large):
            raise DataError(f"Every training image is smaller than crop_size = {self.crop}. Lower it.")
        self.pairs = [pair for pair, is_large in zip(self.pairs, large) if is_large]
        return [size for size, is_large in zip(sizes, large) if is_large]

    @property
    def names(self):
        """The images' names, without folder and ending; two of one name are told apart."""
        return unique_names([pair.hr for pair in self.pairs])

    @property
    def digests(self):
        """What the images are: dict "<row>: <HR file>" -> hash of its pixels and of its LR's."""
        return {f"{pair.hr.name} (row {pair.row})": self.store.digest(pair.hr) + self.store.digest(pair.lr)
                for pair in self.pairs}

    def __len__(self):
        return len(self.pairs) * (self.patch_num or 1)

    def set_epoch(self, epoch):
        """Choose the epoch whose patches ``dataset[i]`` gives.  A plain DataLoader needs this
        call before each epoch, or it gives the same patches again."""
        self._epoch.fill_(epoch)

    def __getitem__(self, i):
        if not -len(self) <= i < len(self):
            raise IndexError(f"{self.split} has {len(self)} items; there is no item {i}.")
        i %= len(self)
        if self.patch_num:
            lr, hr = self.batch(int(self._epoch), [i])
        else:
            lr, hr = (_as_images(np.array(three_channels(image))[None]) for image in self.pair(i))
        return to_float(lr[0]), to_float(hr[0])

    def pair(self, i):
        """The whole pair i: uint8 arrays LR (h, w, 3) and HR (s h, s w, 3), or grey HR (s h, s w)."""
        hr, lr = self.store.get(self.pairs[i].hr), self.store.get(self.pairs[i].lr)
        h, w = self.lr_sizes[i]
        return three_channels(lr)[:h, :w], hr[:h * self.scale, :w * self.scale]

    def batch(self, epoch, indices):
        """The patches of these indices, all at once: LR (N, 3, c/s, c/s) and HR (N, 3, c, c), uint8.

        Exactly the patches that ``dataset[i]`` gives one by one, as bytes and in channels_last
        memory order; ``utils.to_float`` scales them to [0, 1].
        """
        size, s = self.crop // self.scale, self.scale
        lr_batch = np.empty((len(indices), size, size, 3), np.uint8)
        hr_batch = np.empty((len(indices), s * size, s * size, 3), np.uint8)
        for n, (image, top, left, turn) in enumerate(zip(*self.places(epoch, indices))):
            pair = self.pairs[image]
            _cut(self.store.get(pair.lr), top, left, turn, lr_batch[n])
            # Aligned: the HR patch covers exactly the LR patch's pixels.
            _cut(self.store.get(pair.hr), s * top, s * left, turn, hr_batch[n])
        return _as_images(lr_batch), _as_images(hr_batch)

    def places(self, epoch, indices):
        """Where the patches lie: lists image, top and left (in LR pixels), turn (0 to 7)."""
        indices = np.asarray(indices)
        image = indices // self.patch_num
        room = self.lr_sizes[image] - self.crop // self.scale + 1            # (N, 2) possible values of top and left
        draws = hash_numbers(self.seed, epoch, indices, np.arange(3)[:, None])                   # (3, N)
        top, left, turn = draws % np.stack([room[:, 0], room[:, 1], np.full(len(room), 8)]).astype(np.uint64)
        return image.tolist(), top.tolist(), left.tolist(), turn.tolist()


def _cut(image, top, left, turn, patch):
    """Write a turned square of an image, (H, W, 3) or grey (H, W), into ``patch`` (c, c, 3)."""
    side = len(patch)
    # A turned square is read across its rows: it is copied first, so that they lie in the cache.
    square = turned(image[top:top + side, left:left + side].copy(), turn)
    if image.ndim == 3 and turn < 2:           # whole rows
        patch[:] = square
    else:                                      # numpy moves single bytes three times as fast as triples
        for channel in range(3):
            patch[:, :, channel] = square if image.ndim == 2 else square[:, :, channel]


def turned(image, turn):
    """One of the eight flips and rotations (0 to 7) of an array (H, W, ...); 0 changes nothing."""
    if turn & 1:
        image = image[::-1]
    if turn & 2:
        image = image[:, ::-1]
    if turn & 4:
        image = image.swapaxes(0, 1)
    return image


def hash_numbers(seed, epoch, indices, draw):
    """A well-mixed 64-bit number for each index, from (seed, epoch, index, draw) alone: uint64 (N,).

    Several draws at once, as an array (k, 1), give (k, N).

    The finaliser of SplitMix64 (Steele et al. 2014), applied once per number.  A generator
    with a state would make patch i depend on the patches before it, and so on how they
    are spread over the workers.
    """
    h = np.zeros(np.shape(indices), np.uint64)
    for number in (seed, epoch, indices, draw):
        h = h * np.uint64(0x9E3779B97F4A7C15) + np.asarray(number).astype(np.uint64) + np.uint64(1)
        h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        h = h ^ (h >> np.uint64(31))
    return h


def _as_images(arrays):
    """uint8 array (N, H, W, 3) -> uint8 tensor (N, 3, H, W), of the same memory: channels_last order."""
    return torch.from_numpy(arrays).permute(0, 3, 1, 2)


# ---------------------------------------------------------------- the loader

class EpochBatches(Sampler):
    """The batches of an epoch, in an order that is a function of (seed, epoch) alone.

    Yields ``(epoch, indices)``: the epoch travels with the indices, so that workers which
    live across epochs always know it.  Incomplete batches are left out.

    Raises:
        DataError: if the items do not fill one batch.
    """

    def __init__(self, n_items, batch_size, seed, n_batches=None):
        available = n_items // batch_size
        if available == 0:
            raise DataError(f"{n_items} patches do not fill one batch of {batch_size}: "
                            "lower batch_size or raise patch_num.")
        self.n_items, self.batch_size, self.seed = n_items, batch_size, seed
        self.n_batches = min(n_batches or available, available)
        self.epoch = self.start_batch = 0

    def set_epoch(self, epoch, start_batch=0):
        """Go to an epoch, and in it to batch number ``start_batch`` (where a stopped run resumes)."""
        self.epoch, self.start_batch = epoch, start_batch

    def __len__(self):
        return self.n_batches

    def __iter__(self):
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.n_items)
        for b in range(self.start_batch, self.n_batches):
            yield self.epoch, order[b * self.batch_size:(b + 1) * self.batch_size]


class _Batches(Dataset):
    """A dataset whose items are whole batches."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __getitem__(self, key):
        return self.dataset.batch(*key)


WORKER_TIMEOUT = 300        # seconds without a batch, after which the loader continues without workers


class BatchLoader(DataLoader):
    """A DataLoader that continues in this process, with the same batches, where its workers fail."""

    def __iter__(self):
        epoch, start, done = self.sampler.epoch, self.sampler.start_batch, 0
        try:
            for batch in super().__iter__():
                done += 1
                yield batch
            return
        except (RuntimeError, OSError, EOFError, pickle.PicklingError) as error:
            if self.num_workers == 0:
                raise
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        notice(f"the {self.num_workers} worker processes of the loader do not work here ({reason}). Batches are "
               "made in this process from now on, with the same patches. config.workers = 0 turns this notice off.")
        self.end_workers()
        self.num_workers = self.timeout = 0
        self.sampler.set_epoch(epoch, start + done)
        yield from super().__iter__()
        self.sampler.set_epoch(epoch, start)

    def smaller(self, batch_size, n_batches):
        """A loader of fewer and smaller batches from the same dataset, without workers."""
        return make_loader(self.dataset.dataset, batch_size, n_batches=n_batches)

    def end_workers(self):
        """End the worker processes; the next epoch starts new ones."""
        # Private: torch has no public call that ends persistent workers.
        if self._iterator is not None and self.num_workers:
            # torch raises for a dead worker at whatever line the signal arrives; here it is known already.
            with contextlib.suppress(RuntimeError):
                self._iterator._shutdown_workers()
        self._iterator = None


def _ignore_interrupts(_):
    # Ctrl-C, a notebook's stop button and SIGTERM reach the workers too; the training process decides what to do then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    outlive_sigterm(lambda *_: os._exit(0))            # 0: torch takes any other status for an error of the training


def make_loader(dataset, batch_size=16, workers=0, n_batches=None, pin_memory=False):
    """The training loader: ``(lr, hr)`` batches, uint8, reproducible from the dataset's seed.

    LR (N, 3, c/s, c/s) and HR (N, 3, c, c) travel as bytes, a quarter of what floats would be;
    ``utils.to_float`` scales them to [0, 1], which solver.pretrain and solver.train do on the device.

    Args:
        dataset: an SRDataset of the split "train".
        batch_size: patches per batch.
        workers: processes that cut patches; 0 does it in this one, which is enough for a CPU.
            Where they cannot start, or die, this process continues alone, with a notice.
        n_batches: at most this many batches per epoch (None: as many as the patches fill).
        pin_memory: for asynchronous copies to a GPU.

    ``loader.sampler.set_epoch(epoch, start_batch)`` chooses epoch and first batch.

    Raises:
        DataError: if the patches do not fill one batch.
    """
    return BatchLoader(_Batches(dataset), batch_size=None, num_workers=workers,
                       sampler=EpochBatches(len(dataset), batch_size, dataset.seed, n_batches),
                       persistent_workers=workers > 0, pin_memory=pin_memory, worker_init_fn=_ignore_interrupts,
                       timeout=WORKER_TIMEOUT if workers else 0,
                       generator=torch.Generator().manual_seed(dataset.seed))
