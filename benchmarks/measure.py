"""How things are measured: on mosaics of photographs, two ways in turn, each in a process of its own."""

import contextlib
import importlib.util
import multiprocessing
import pickle
import platform
import statistics
import sys
import time
import traceback
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from imresize import imresize
from support.files import save_image
from support.images import read_image

PHOTOS = ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg")      # scikit-image's, part of its package


def photograph(name):
    """One of scikit-image's photographs, uint8 (H, W, 3)."""
    return read_image(Path(importlib.util.find_spec("skimage").origin).parent / "data" / name)[0]


def processor():
    """The processor's name, as far as the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def machine():
    """The machine that measures, in words."""
    card = f"{torch.cuda.get_device_name()}, " if torch.cuda.is_available() else ""
    return f"{card}{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def mosaic(seed, height=1356, width=2040):
    """An image made of crops of photographs, uint8 (height, width, 3); its usual size is that of DIV2K."""
    photographs = [photograph(name) for name in PHOTOS]
    rng, cell = np.random.default_rng(seed), (226, 340)
    result = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, cell[0]):
        for left in range(0, width, cell[1]):
            image = photographs[rng.integers(len(photographs))]
            y, x = (int(rng.integers(full - part + 1)) for full, part in zip(image.shape, cell))
            space = result[top:top + cell[0], left:left + cell[1]]
            space[:] = image[y:y + space.shape[0], x:x + space.shape[1]]
    return result


def write_pairs(folder, n=8, height=1356, width=2040):
    """n mosaics and their LR images as PNG files, with the list of a data folder; returns the folder."""
    rows = []
    for k in range(n):
        hr = mosaic(k, height, width)
        save_image(Path(folder, "HR", f"{k}.png"), hr)
        save_image(Path(folder, "LR", f"{k}x4.png"), imresize(hr, 0.25))
        rows.append(f"HR/{k}.png,LR/{k}x4.png\n")
    Path(folder, "train_images.csv").write_text("".join(rows), encoding="utf-8")
    return folder


class Way:
    """One way of doing something, in a process of its own: the ways share neither memory nor settings.

    Args:
        prepare: a function of a module (the new process looks it up by name); what it
            returns is the function that is measured.

    Raises:
        RuntimeError: if it fails; the message holds the traceback.
    """

    def __init__(self, prepare, *arguments):
        context = multiprocessing.get_context("spawn")       # the same on Linux, macOS and Windows
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, prepare, arguments), daemon=True)
        self.process.start()
        self._receive()

    def run(self):
        """Do it once: (seconds, what the function returned, peak memory in bytes since it was prepared)."""
        self.pipe.send("run")
        return self._receive()

    def close(self):
        with contextlib.suppress(OSError):       # a way that has failed listens no more
            self.pipe.send(None)
        self.process.join()

    def _receive(self):
        answer = self.pipe.recv()
        if isinstance(answer, str):
            raise RuntimeError(f"A way that is measured has failed:\n{answer}")
        return answer


class WayHere:
    """The same in this process, for tests: it starts at once, but its time and memory mean little."""

    def __init__(self, prepare, *arguments):
        # Only what can be sent to another process: else it would work here and fail there.
        prepare, arguments = pickle.loads(pickle.dumps((prepare, arguments)))
        self.function = prepare(*arguments)
        self.before = peak_memory(reset=True)

    def run(self):
        return pickle.loads(pickle.dumps(_timed(self.function, self.before)))

    def close(self):
        self.function = None


def _serve(pipe, prepare, arguments):
    try:
        function = prepare(*arguments)
        before = peak_memory(reset=True)
        pipe.send(())
        while pipe.recv() is not None:
            pipe.send(_timed(function, before))
    except Exception:
        pipe.send(traceback.format_exc())


def _timed(function, before):
    begun = time.perf_counter()
    value = function()
    return time.perf_counter() - begun, value, peak_memory() - before


def peak_memory(reset=False):
    """The most memory that this process has had, in bytes (0 on Windows, where it is not measured).

    Args:
        reset: begin again with what the process has now (Linux).
    """
    if sys.platform == "win32":
        return 0
    if sys.platform == "linux":      # getrusage's value would begin with that of the parent process
        if reset:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
    import resource
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def side_by_side(ours, plain, pairs=5, warm=True, after_pair=None, apart=True):
    """Run two ways in turn.

    Args:
        ours, plain: tuples (prepare, argument, ...), see Way.
        pairs: measured pairs.
        warm: one run of each first, which is not measured.
        after_pair: a function that is called after each pair, for what has to be measured at the same time.
        apart: each way in a process of its own.

    Returns:
        dict: "ratio", the median over the pairs of plain's seconds by ours; "ours" and
        "plain", the median seconds; "values", what the first run of each returned;
        "memory", the peak of each in bytes; "seconds" of each pair, and "after_pair", what that function returned.
    """
    ways, results, others = [], [], []
    try:
        for way in (ours, plain):
            ways.append((Way if apart else WayHere)(*way))
        first = [way.run() for way in ways] if warm else None
        for _ in range(pairs):
            results.append([way.run() for way in ways])
            others.append(after_pair and after_pair())
    finally:
        for way in ways:
            way.close()
    first = first or results[0]
    seconds = [[run[0] for run in pair] for pair in results]
    return {"ratio": statistics.median(b / a for a, b in seconds),
            "seconds": seconds, "after_pair": others,
            "ours": statistics.median(a for a, _ in seconds), "plain": statistics.median(b for _, b in seconds),
            "values": [run[1] for run in first], "memory": [run[2] for run in results[-1]]}


@contextlib.contextmanager
def calls_of(module, name):
    """A list that gets the arguments of each call of a module's function; the function works as before.

    A function of a module: whatever its arguments are or become, they are passed on as they came.  A method
    would have to be told from a static one.
    """
    calls, function = [], getattr(module, name)

    def counted(*args, **kwargs):
        calls.append((args, kwargs))
        return function(*args, **kwargs)
    with mock.patch.object(module, name, counted):
        yield calls


def matrix_rate(device="cpu", dtype=torch.float32, repeats=3, sizes=(1024, 2048, 4096)):
    """The machine's own matrix-product rate in FLOP/s: the best over square matrices of these sizes."""
    best = 0
    for n in sizes:
        a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
        for _ in range(repeats + 1):
            begun = time.perf_counter()
            a @ b
            wait_for(device)
            best = max(best, 2 * n**3 / (time.perf_counter() - begun))
    return best


def wait_for(device):
    """Wait until a CUDA card has done all its work; a CPU has when a call returns."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
