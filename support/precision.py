"""How the arithmetic is done: mixed precision, memory format, compiled networks, memory that is kept."""

import contextlib
import copy
import ctypes
import sys

import torch

from support.convert import to_float
from support.messages import notice


class Precision:
    """How the arithmetic is done: mixed precision and memory format.

    Args:
        device: "cpu", "cuda" or a torch.device.
        amp: None for float32; "auto" for bfloat16 on a CUDA card that has it, float16 with
            loss scaling on an older one, and float32 on the CPU (where bfloat16 is slow);
            or "bf16" or "fp16" by name.
        channels_last: keep feature maps as (N, h, w, C) in memory: faster convolutions.

    Raises:
        ValueError: for another ``amp``.
    """

    def __init__(self, device, amp=None, channels_last=False):
        self.device = torch.device(device)
        if amp not in (None, False, "auto", "bf16", "fp16"):
            raise ValueError(f"config.amp must be None, 'auto', 'bf16' or 'fp16', not {amp!r}.")
        amp = amp or None
        if amp == "auto":
            amp = None
            if self.device.type == "cuda":
                # is_bf16_supported() also counts cards that only emulate it, slowly.
                amp = "bf16" if torch.cuda.get_device_capability(self.device) >= (8, 0) else "fp16"
        self.dtype = {None: None, "bf16": torch.bfloat16, "fp16": torch.float16}[amp]
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        # float16 has gradients too small for its range; bfloat16 has float32's range.
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=amp == "fp16")

    def autocast(self):
        """The context in which a network runs in this precision; it does nothing for float32."""
        if self.dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def to_device(self, network):
        """Move a network to the device, in this memory format."""
        return network.to(self.device, memory_format=self.format)

    def to_unit_range(self, *batches):
        """Move batches to the device and scale them to [0, 1]: bytes travel, a quarter of what floats would be.

        Returns:
            list of float tensors of the same shapes.
        """
        return [to_float(batch.to(self.device, non_blocking=True)).contiguous(memory_format=self.format)
                for batch in batches]

    def step(self, loss, optimizer, keep_graph=False):
        """Backward and one optimizer step.

        Only the gradients of this optimizer's parameters are computed: not those of a
        network that the loss only passes through.

        Returns:
            the norm of the gradient, a tensor on the device; with float16, of the scaled loss.
        """
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
        optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward(inputs=parameters, retain_graph=keep_graph)
        grads = [p.grad for p in parameters if p.grad is not None]         # an unused layer has none
        # Private: the public torch.nn.utils.get_total_norm, which computes this, came with torch 2.6 only.
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
        self.scaler.step(optimizer)
        self.scaler.update()
        return norm


def compiled(network, shape, precision):
    """The network compiled by torch.compile; where that fails, the network as it is, with a notice.

    Args:
        shape: of the images that it will see, (N, 3, H, W).
    """
    with contextlib.suppress(AttributeError):           # older versions of torch do not need this setting
        # Private: torch has no public name for it.  A graph is kept for a second backward, see solver.train.
        torch._functorch.config.donated_buffer = False
    before = copy.deepcopy(network.state_dict())
    images = torch.zeros(shape, device=precision.device, requires_grad=True)
    try:
        fast = torch.compile(network)
        with precision.autocast():                       # it compiles at the first call
            fast(images.contiguous(memory_format=precision.format)).float().mean().backward()
        return fast
    except Exception as error:                           # no C++ compiler, or an unsupported Python or card
        report_not_compiled(network, error)
        return network
    finally:
        network.load_state_dict(before)                  # BatchNorm has seen a batch of zeros
        network.zero_grad(set_to_none=True)


def report_not_compiled(network, error):
    """Say that torch.compile has failed for a network, and that this stops nothing."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    notice(f"torch.compile does not work for {type(network).__name__} here ({reason}). Training continues without "
           "it, with the same result. config.compile = False turns this notice off.")


def keep_freed_memory():
    """Let this process keep the memory of freed tensors for the next ones (Linux with glibc; else nothing).

    Every update makes and frees the same feature maps.  By default glibc returns large blocks
    to the system immediately, which has to fill them with zeros, page by page, when the
    next update asks for them: a tenth of a CPU step.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):     # another C library
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(-4, 0)       # M_MMAP_MAX: no block directly from the system
            libc.mallopt(-1, -1)      # M_TRIM_THRESHOLD: nothing is returned
