"""Fixtures of every room, and how hypothesis tries its cases."""

import os

import pytest
import torch
from hypothesis import HealthCheck, settings

from tests.helpers import SHARED, tiny_config, write_data

torch.set_num_threads(1)      # tiny networks: a second thread only makes them slower
if "PYTEST_XDIST_WORKER" in os.environ:                # a core for each worker and for what it starts
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# derandomize: the same cases each time; a slow machine is no failure.
QUIET = dict(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
settings.register_profile("quick", max_examples=100, **QUIET)
settings.register_profile("long", max_examples=2500, **QUIET)       # pytest --hypothesis-profile long
settings.load_profile("quick")


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """The folder of a tiny data set, shared: do not write into it."""
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def own_data(tmp_path):
    """The same in a folder of the test's own."""
    return write_data(tmp_path / "data")


@pytest.fixture
def config(data, tmp_path, monkeypatch):
    """A tiny configuration; runs/ lies in the test's own folder."""
    monkeypatch.chdir(tmp_path)
    return tiny_config(data)


@pytest.fixture(scope="session")
def benchmark():
    """Set5 and Set14: dict of set -> list of (name, HR path, path of the LR that MATLAB made)."""
    sets = {}
    for name, number in (("Set5", 5), ("Set14", 14)):
        folder = SHARED / "benchmark" / name
        pairs = [(hr.stem, hr, folder / "LR_bicubic" / "X4" / f"{hr.stem}x4.png")
                 for hr in sorted((folder / "HR").glob("*.png"))]
        if len(pairs) != number or not all(lr.is_file() for _, _, lr in pairs):
            pytest.skip(f"{name} with MATLAB's LR is not in ../shared/data/benchmark/{name} beside the repository")
        sets[name] = pairs
    return sets
