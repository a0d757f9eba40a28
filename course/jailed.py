"""What runs in the jail: python -I -S -B jailed.py SETTINGS.json

Starts a module (``probes``, ``reading``) which answers in messages.  They leave through standard output, to which
nothing else is written from then on.  Standard library only, until the module is imported.
"""

import importlib
import importlib.util
import json
import os
import site
import struct
import sys


class Channel:
    """The way out.  ``channel(name, content)`` sends bytes, ``channel.arrays`` a dict of NumPy arrays."""

    def __init__(self, file):
        self._file = file

    def __call__(self, name, content):
        if isinstance(content, str):
            content = content.encode("utf-8", "backslashreplace")
        name = name.encode("ascii")
        self._file.write(struct.pack("!HI", len(name), len(content)) + name + content)
        self._file.flush()

    def arrays(self, name, arrays):
        import numpy as np
        arrays = {key: np.asarray(array) for key, array in arrays.items()}
        head = json.dumps([[key, array.dtype.str, list(array.shape)] for key, array in arrays.items()]).encode()
        self(name, struct.pack("!I", len(head)) + head + b"".join(array.tobytes() for array in arrays.values()))


def answer(channel, places):
    """A trial of the jail."""
    found = all(importlib.util.find_spec(name) for name in ("numpy", "torch", "PIL"))
    channel("packages", "found" if found else "missing")


def main(path):
    with open(path, encoding="utf-8") as file:
        settings = json.load(file)
    channel = Channel(os.fdopen(os.dup(1), "wb"))
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    for folder in settings["packages"]:
        site.addsitedir(folder)
    site.setquit()
    sys.path[:0] = [settings["places"][name] for name in settings["path"]]
    sys.argv = [settings["module"]]
    importlib.import_module(settings["module"]).answer(channel, settings["places"], *settings["arguments"])


if __name__ == "__main__":
    main(sys.argv[1])
