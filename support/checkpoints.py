"""Trained weights that must not be lost or trusted blindly: checkpoints with a hash, weight files."""

import hashlib
import io
import json
import os
import pickle
from pathlib import Path

import torch

from support.files import write_atomically
from support.messages import notice
from support.weight_files import (  # noqa: F401  handed on
    CheckpointError,
    describe,
    read_metadata,
    read_weights,
)

METHODS = {}      # name -> network class; a class registers itself, see register_method


def register_method(name, title=None, colour=None):
    """Class decorator: makes a network known to ``load_generator`` under ``name``.

    The class keeps its constructor's arguments in ``self.settings``, a dict of plain values.

    Args:
        title: what tables and plots call it (default: the name).
        colour: of its curves, one of matplotlib's.
    """
    def register(cls):
        cls.method, cls.title, cls.colour = name, title or name, colour or "tab:gray"
        METHODS[name] = cls
        return cls
    return register


class DamagedCheckpoint(CheckpointError):
    """A checkpoint whose bytes are not those that were written."""


FORMAT = 1        # of checkpoints: raised when an older kit could not read them any more
HASH_LABEL = b"sha256:"
HASH_BYTES = len(HASH_LABEL) + 64


def save_checkpoint(path, checkpoint, keep_old=None):
    """Write a dict of tensors and plain containers, with its SHA-256, atomically.

    ``keep_old`` as in ``write_atomically``.

    The hash stands in the comment at the end of the zip file that ``torch.save`` makes,
    so that ``torch.load`` reads the file as well.
    """
    buffer = io.BytesIO()
    torch.save({**checkpoint, "format": FORMAT}, buffer)
    data = bytearray(buffer.getvalue())
    data[-2:] = HASH_BYTES.to_bytes(2, "little")     # the last field of a zip file: the comment's length
    digest = hashlib.sha256(data).hexdigest().encode()
    write_atomically(path, bytes(data) + HASH_LABEL + digest, keep_old)


def load_checkpoint(path):
    """Read what ``save_checkpoint`` wrote, on the CPU, once its hash is verified.

    Raises:
        CheckpointError: if the file is missing, cut short or changed (DamagedCheckpoint;
            ``torch.load`` alone accepts a flipped bit silently), of another format
            version, or holds anything that could run code.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint {path}. A training with the same run_name makes it.")
    data = path.read_bytes()
    body, label, digest = data[:-HASH_BYTES], data[-HASH_BYTES:-64], data[-64:]
    if label != HASH_LABEL:
        raise DamagedCheckpoint(f"{path} {describe(path)}")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise DamagedCheckpoint(f"{path} is damaged: its content does not have the hash that was stored with it. "
                                "Take an older checkpoint, or delete it and train again.")
    checkpoint = _load_safely(io.BytesIO(data), path)
    if checkpoint.get("format") != FORMAT:
        raise CheckpointError(f"{path} has the checkpoint format {checkpoint.get('format')}; this version of the kit "
                              f"reads format {FORMAT}. Use the version that wrote it.")
    return checkpoint


class CheckpointShelf:
    """The checkpoints of one stage: last, the one before it (previous), best, and one that was found damaged.

    Args:
        folder: runs/<name>/checkpoints/.
        stage: the names of its files begin with it.
    """

    def __init__(self, folder, stage):
        self.folder, self.stage = Path(folder), stage

    def path(self, which, suffix=".pth"):
        """<stage>_<which>.pth in the folder, whether it exists or not."""
        return self.folder / f"{self.stage}_{which}{suffix}"

    def save(self, which, checkpoint):
        """Write a checkpoint; the last one before it becomes "previous"."""
        save_checkpoint(self.path(which), checkpoint, keep_old=self.path("previous") if which == "last" else None)

    def has_begun(self):
        """Whether there is a checkpoint to resume from.

        Raises:
            CheckpointError: if there is none although the stage has been trained: starting
                again silently would overwrite what is left of it.
        """
        if self.path("last").exists() or self.path("previous").exists():
            return True
        # Not simply "<stage>_*": another stage's name may begin with this one's.
        left = sorted(path.name for which in ("best.*", "damaged.*", "epoch_[0-9]*")
                      for path in self.folder.glob(f"{self.stage}_{which}"))
        if left:
            raise CheckpointError(f"{self.folder} holds {', '.join(left[:3])}, but neither "
                                  f"{self.path('last').name} nor {self.path('previous').name} to resume from. Copy one "
                                  "of them back, or choose another run name to train again.")
        return False

    def newest(self):
        """(checkpoint, path): the last one, or the one before it where the last one is damaged or missing.

        Raises:
            CheckpointError: if both are damaged or missing.
        """
        last, previous = self.path("last"), self.path("previous")
        try:
            return load_checkpoint(last), last
        except CheckpointError as error:
            if last.exists() and not isinstance(error, DamagedCheckpoint) or not previous.exists():
                raise
            checkpoint = load_checkpoint(previous)
            notice(f"{error} The one before it is whole: {previous} is used.")
            if last.exists():      # otherwise the next checkpoint would overwrite the good one with it
                os.replace(last, self.path("damaged"))
            return checkpoint, previous


def _load_safely(file, path):
    """``torch.load`` that takes tensors and plain containers only: a file from a stranger must not run code."""
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:      # torch's own text advises loading the file anyway
        raise CheckpointError(f"{path} is damaged, or holds more than tensors and plain containers. It was not opened, "
                              "and nothing in it was run: such a file can run code of whoever made it.") from error


def check_fit(model, state, origin):
    """Raise CheckpointError, with a list of what does not fit, unless ``model.load_state_dict`` would take ``state``.

    To be called before loading: torch's own method would load what fits, and raise afterwards.

    Args:
        origin: where ``state`` comes from, for the message.
    """
    own = model.state_dict()
    faults = [f"{name} is missing" for name in own if name not in state]
    faults += [f"{name} is not expected" for name in state if name not in own]
    faults += [f"{name} is {tuple(state[name].shape)} instead of {tuple(own[name].shape)}"
               for name in own if name in state and state[name].shape != own[name].shape]
    if faults:
        raise CheckpointError(f"{origin} does not fit this {type(model).__name__}. "
                              "Check n_channels, n_blocks and the kernel sizes:\n  " + "\n  ".join(faults))


def load_weights(model, state, origin):
    """``model.load_state_dict``, or a CheckpointError that lists what does not fit; then the model is as it was."""
    check_fit(model, state, origin)
    model.load_state_dict(state)
    return model


### BEGIN SOLUTION
WEIGHTS = Path(__file__).resolve().parents[1] / "weights"      # the generators that come with the kit


def shipped_names():
    """The names that ``load_generator`` takes: those of weights/<name>.safetensors."""
    return sorted(path.stem for path in WEIGHTS.glob("*.safetensors"))


def weight_file(name):
    """A path as it is; a bare name, such as "srresnet-x4", as the path of the file that comes with the kit.

    Raises:
        CheckpointError: if no weights of this name come with the kit.
    """
    path = Path(name)
    if path.suffix or path.name != str(name):
        return path
    if path.name not in shipped_names():
        known = ", ".join(shipped_names()) or "none: this edition of the kit comes without weights"
        raise CheckpointError(f"No weights named {path.name!r} come with the kit; there are {known}. "
                              "A file of your own is given with its ending, .pth or .safetensors.")
    return WEIGHTS / f"{path.name}.safetensors"
### REPLACED BY
# def weight_file(name):
#     """The path of a file of weights."""
#     return Path(name)
### END SOLUTION


def save_generator(path, model, dtype=None, **facts):
    """Write a generator's weights as .safetensors, with all that ``load_generator`` needs.

    Args:
        dtype: of the numbers in the file, such as torch.float16 (default: the model's own).
        facts: plain values, such as stage and epoch, that are kept in the file's metadata.
    """
    from safetensors.torch import save
    metadata = {"method": model.method, "settings": json.dumps(model.settings), "facts": json.dumps(facts)}
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    if dtype is not None:          # except BatchNorm's counter
        state = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    write_atomically(path, save(state, metadata))
