"""Fixtures of every room, and how hypothesis tries its cases."""

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from hypothesis import HealthCheck, settings

from support import download
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


class Server:
    """Files on localhost: with Range or without, whole or broken off, or something else."""

    def __init__(self):
        self.files, self.ranges = {}, []          # name -> bytes; the Range headers that came
        self.break_after = None                   # bytes, for the next answer only
        self.pause, self.seconds = threading.Event(), 0      # in the middle of an answer
        self.has_ranges, self.status, self.kind = True, 200, "application/zip"
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.answer(self)

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def answer(self, request):
        asked = request.headers.get("Range")
        self.ranges.append(asked)
        data = self.files.get(request.path[1:])
        if data is None or self.status != 200:
            return request.send_error(404 if data is None else self.status)
        first = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.has_ranges else 0
        if first and first >= len(data):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(data)}")
            return request.end_headers()
        request.send_response(206 if first else 200)
        if first:
            request.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        request.send_header("Content-Length", str(len(data) - first))
        request.send_header("Content-Type", self.kind)
        request.end_headers()
        part, self.break_after = data[first:][:self.break_after], None
        request.wfile.write(part[:len(part) // 2])
        request.wfile.flush()
        self.pause.wait(self.seconds)
        request.wfile.write(part[len(part) // 2:])


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    monkeypatch.setattr(download, "PAUSE", 0)
    monkeypatch.setattr(download, "TIMEOUT", 5)
    server = Server()
    yield server
    server.pause.set()
    server.http.shutdown()
    server.http.server_close()
