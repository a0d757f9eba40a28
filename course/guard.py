"""Where there is no jail: has a hand-in changed the files that grade the next one?"""

import hashlib
import os
import sys
from pathlib import Path

UNREAD = {"data", "runs", ".venv"}         # what is large in the kit's folder is compared by size and times alone


class Guard:
    """The state of all files in some folders, to be compared after each hand-in.

    Compiled modules (__pycache__) are files like others: Python would run them.  From now on it writes none itself.
    """

    def __init__(self, folders):
        sys.dont_write_bytecode = True
        self._folders = [Path(folder) for folder in folders]
        self._before = self._state()

    def changed(self):
        """Files that are not as they were when the guard was made: a list of their names."""
        now = self._state()
        return sorted({name for folder, name in self._before.keys() | now.keys()
                       if self._before.get((folder, name)) != now.get((folder, name))})

    def _state(self):
        state = {}
        for folder in self._folders:
            for place, _, files in os.walk(folder):
                for name in files:
                    path = os.path.join(place, name)
                    name = os.path.relpath(path, folder)
                    state[folder, name] = _state_of(path, Path(name).parts[0])
        return state


def _state_of(path, part):
    try:
        found = os.lstat(path)
        times = [found.st_size, found.st_mtime_ns, found.st_mode]
        if os.name == "posix":
            times += [found.st_ctime_ns, found.st_ino]          # no program can set back the first
        if part in UNREAD or part == ".git" or os.path.islink(path):
            return times
        return [*times, hashlib.sha256(Path(path).read_bytes()).hexdigest()]
    except OSError as error:
        return [str(error.errno)]
