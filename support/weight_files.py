"""Weight files from anywhere: what a file is, and the tensors in it.  Nothing that a file holds is ever run."""

import json
import pickle
import warnings
import zipfile
import zlib
from pathlib import Path

import torch

from support.messages import SaysItAll, count, few, notice
from support.weight_kinds import AGAIN, is_safetensors, something_else


class CheckpointError(SaysItAll, RuntimeError):
    """A checkpoint or weight file that is missing, damaged, or of another network."""


### BEGIN SOLUTION
IMPORTED_BY = " For weights of others: python -m extensions import_weights FILE."
### REPLACED BY
# IMPORTED_BY = ""
### END SOLUTION
# Where public trainings keep the generator's tensors, the best ones first; other networks are beside them.
INSIDE = ("params_ema", "ema_state_dict", "g_ema", "params", "state_dict", "generator", "netg", "g", "model", "net")
# Of nn.DataParallel, of torch.compile, and of a Lightning module that has the generator inside.
PREFIXES = ("module.", "_orig_mod.", "generator.", "netG.", "net_g.")


def read_weights(path, key=None):
    """The tensors of a weight file: .safetensors, or what ``torch.save`` wrote of a state_dict, alone or inside a dict,
    or of a whole module.

    What is unpacked on the way (such as "params_ema", or the prefix "module.") is said in a notice.

    Args:
        key: which of several networks in the file (default: the first of INSIDE).

    Returns:
        dict name -> tensor, on the CPU.

    Raises:
        CheckpointError: if the file is missing, damaged or something else, and says what; or holds no network, or
            several and none of INSIDE.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"There is no weight file {path}. Check the path; it is relative to the folder in "
                              "which Python was started.")
    if other := something_else(path):
        raise CheckpointError(f"{path} {other}")
    if is_safetensors(path):
        return _without_prefix(_load_safetensors(path), path)
    content = load_inert(path)
    if is_checkpoint(content):
        raise CheckpointError(f"{path} is a checkpoint of this kit, and holds no plain state_dict: "
                              "utils.load_generator(path) reads it.")
    found = networks_in(content)
    if not found:
        raise CheckpointError(f"{path} holds no state_dict (name -> tensor), but {_words(content)}. Such a file "
                              "can run code of whoever made it: nothing in it was run.")
    say_damage(path)
    return _without_prefix(_of_generator(_chosen(found, key, path), path), path)


def say_damage(path):
    """A notice where a part of a zip file does not have its checksum: torch reads it without looking."""
    try:
        with zipfile.ZipFile(path) as file:
            part = file.testzip()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, zlib.error):     # not a zip file, but older
        return
    if part:
        notice(f"{path} is damaged: {part} in it does not have its checksum, so these weights are not what was saved "
               f"(or they were saved without checksums). {AGAIN}")


def _of_generator(state, path):
    """The generator's tensors, where those of several networks are in one state_dict, as Lightning writes it."""
    for prefix in PREFIXES[2:]:
        own = {name: value for name, value in state.items() if name.startswith(prefix)}
        if own and len(own) < len(state):
            others = sorted({name.split(".")[0] for name in state if name not in own})
            notice(f"{path}: taken are the names that begin with {prefix!r} (there too: {few(others)}).")
            return own
    return state


def _chosen(found, key, path):
    """The one network of ``networks_in`` to take, with a notice where that is not the whole file."""
    names = {name.lower(): name for name in found}
    wanted = [key] if key else ["", *INSIDE]
    name = next((names[name.lower()] for name in wanted if name.lower() in names), None)
    if name is None and len(found) == 1 and not key:
        name = next(iter(found))
    if name is None:
        raise CheckpointError(f"{path} has no network {key!r}, but {few(found, 9)}." if key else
                              f"{path} holds several networks: {few(found, 9)}. Choose one: "
                              f"utils.read_weights(path, key=NAME), or --key NAME.{IMPORTED_BY}")
    state, module = found[name]
    if name or module:
        others = [other for other in found if other != name]
        notice(f"{path}: taken is " + (f"{name!r}" if name else "the whole file") +
               (f", a pickled module ({module}), of which only the tensors were read: none of its code was run"
                if module else "") + (f" (there too: {few(others)})." if others else "."))
    return state


def _without_prefix(state, path):
    for prefix in PREFIXES * 2:              # one may be inside another
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
            notice(f"{path}: the prefix {prefix!r} of every name was removed.")
    return state


# ---------------------------------------------------------------- what a file is

def is_checkpoint(content):
    """Whether the content of a file is a checkpoint of this kit."""
    return isinstance(content, dict) and {"format", "method", "settings"} <= set(content)


def describe(path):
    """Why a file is no checkpoint of this kit, as the rest of a sentence, and what to do with it."""
    if other := something_else(path):
        return other
    advice = ("For a network of the same layers: "
              f"generator.load_state_dict(utils.read_weights({str(path)!r})).{IMPORTED_BY}")
    try:
        if is_safetensors(path):
            return f"is a .safetensors file: give it that ending. {advice}"
        content = load_inert(path)
    except CheckpointError:
        return f"carries no hash: it is damaged or cut short, or this kit has not written it. {AGAIN}"
    if is_checkpoint(content):
        return "carries no hash: it is damaged or cut short. Take an older checkpoint, or delete it and train again."
    return f"is no checkpoint of this kit, but holds {_words(content)}. {advice}"


def _words(content):
    """What the content of a file is, in a few words."""
    found = networks_in(content)
    if not found:
        names = list(content) if isinstance(content, dict) and type(content) in (dict, Inert) else []
        return f"entries {few(names)}, no network" if names else f"one {type(content).__name__}"
    parts = []
    for name, (state, module) in found.items():
        prefix = "".join(f", each name with the prefix {prefix!r}" for prefix in PREFIXES
                         if all(key.startswith(prefix) for key in state))
        what = f"a whole pickled module ({module})" if module else f"a state_dict of {count(state, 'tensor')}{prefix}"
        parts.append(what + (f" under {name!r}" if name else ""))
    return few(parts)


# ---------------------------------------------------------------- reading

def _load_safetensors(path):
    from safetensors.torch import load
    try:
        return load(path.read_bytes())
    except Exception as error:            # safetensors raises kinds of its own
        raise CheckpointError(f"{path} cannot be read as a weight file, it is damaged or cut short ({error}). "
                              f"{AGAIN}") from error


class Inert(dict):
    """Stands for every class and function that a pickle names: it keeps what it is given, and does nothing."""

    dump_patches = False                   # torch asks old modules for it

    def __init__(self, *args, **kwargs):
        super().__init__()

    def __setstate__(self, state):
        if isinstance(state, dict):
            vars(self).update(state)

    def __call__(self, *args, **kwargs):
        return self

    def append(self, item):
        """What pickle calls for a list."""

    def extend(self, items):
        """The same, for several."""

    add = append
    __hash__ = object.__hash__


class _Unpickler(pickle.Unpickler):
    """Makes tensors and plain containers; any other class or function becomes an Inert.

    Not ``weights_only=True``: that refuses a pickled module as a whole, and with it the tensors inside.
    """

    REAL = {("collections", "OrderedDict"), ("torch", "Size"),
            ("torch._utils", "_rebuild_tensor"), ("torch._utils", "_rebuild_tensor_v2"),
            ("torch._utils", "_rebuild_parameter")}

    def find_class(self, module, name):
        if (module, name) in self.REAL:
            return super().find_class(module, name)
        return type(name, (Inert,), {"__module__": module})


class _Pickle:
    """What ``torch.load`` needs of a module like pickle."""

    Unpickler = _Unpickler

    @staticmethod
    def load(file, **options):
        return _Unpickler(file, **options).load()


def load_inert(path):
    """The content of a file of ``torch.save``: tensors and plain containers; everything else is an Inert.

    Raises:
        CheckpointError: if it cannot be read.
    """
    try:
        with open(path, "rb") as file, warnings.catch_warnings():      # a path's ending could mean another format
            warnings.simplefilter("ignore")                            # old files: "couldn't retrieve source code"
            return torch.load(file, map_location="cpu", pickle_module=_Pickle, weights_only=False)
    except Exception as error:             # pickle, zip files and torch each raise exceptions of their own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{path} cannot be read as a weight file, it is damaged or cut short ({reason}). "
                              f"{AGAIN}") from error


def networks_in(content, name="", depth=2):
    """The networks in a file's content: dict key ("": all of it) -> (state_dict, class of a pickled module or "")."""
    if isinstance(content, Inert):
        state = dict(_tensors_of(content)) if "_modules" in vars(content) else {}
        return {name: (state, f"{type(content).__module__}.{type(content).__name__}")} if state else {}
    if not isinstance(content, dict) or not content:
        return {}
    if all(map(torch.is_tensor, content.values())):
        return {name: (dict(content), "")} if all(isinstance(key, str) for key in content) else {}
    found = {}
    for key, value in content.items() if depth else ():
        found |= networks_in(value, f"{name}.{key}" if name else str(key), depth - 1)
    return found


def _tensors_of(module, prefix=""):
    """(name, tensor) of a pickled nn.Module, as its state_dict would have them."""
    for kind in ("_parameters", "_buffers"):
        for name, tensor in vars(module).get(kind, {}).items():
            if torch.is_tensor(tensor):
                yield prefix + name, tensor.detach()
    for name, child in vars(module)["_modules"].items():
        if isinstance(child, Inert) and "_modules" in vars(child):
            yield from _tensors_of(child, f"{prefix}{name}.")


def read_metadata(path):
    """What ``save_generator`` wrote next to the weights: dict "method", "settings", "facts".

    Raises:
        CheckpointError: if the file says nothing of that kind.
    """
    from safetensors import safe_open
    if not is_safetensors(path):
        raise CheckpointError(f"{path} is no .safetensors file, whatever its ending.{IMPORTED_BY}")
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    if "method" not in metadata:
        raise CheckpointError(f"{path} does not say which network it holds (no 'method' in its metadata). Files that "
                              f"say so are written by support.checkpoints.save_generator.{IMPORTED_BY}")
    return {"method": metadata["method"],
            **{key: json.loads(metadata.get(key, "{}")) for key in ("settings", "facts")}}
