"""PSNR and SSIM as the sources of SRDiff and SR3 report them, by other protocols than the core's.

| protocol                     | channels          | border       | who                                         |
|------------------------------|-------------------|--------------|---------------------------------------------|
| the kit's, ``metrics.psnr``  | Y                 | 4 pixels cut | almost all papers since SRCNN               |
| "Y, no border cut"           | Y                 | none         | the MindSpore model of SRDiff: 28.78 dB     |
| "RGB, no border cut"         | R, G, B together  | none         | the SRDiff paper: 27.16 dB / 0.786;         |
|                              |                   |              | the public SR3 code                         |

The same images differ by more than a decibel between protocols: 27.16 and 28.78 say nothing about
which model is better.  LPIPS (Zhang et al. 2018, arXiv 1801.03924) is optional.
"""

import numpy as np

import metrics
from support.checkpoints import CheckpointError


def psnr_y_whole(sr, hr):
    """PSNR on Y, no border cut; arguments and errors as in ``metrics.psnr``."""
    return metrics.psnr(sr, hr, crop=0)


def ssim_y_whole(sr, hr):
    """SSIM on Y, no border cut."""
    return metrics.ssim(sr, hr, crop=0)


def psnr_rgb_whole(sr, hr):
    """10 log10(255^2 / MSE), the mean over all three channels and all pixels; uint8 (H, W, 3), or HR (H, W).

    A grey HR counts as three equal channels.

    Raises:
        ValueError: for other dtypes, or sizes that differ.
    """
    sr, hr = _both_rgb(sr, hr)
    mse = np.mean((sr.astype(np.float64) - hr) ** 2)
    return float(10 * np.log10(255**2 / mse)) if mse > 0 else float("inf")


def ssim_rgb_whole(sr, hr):
    """The mean of the three channels' SSIM (window and constants as in ``metrics.ssim``), no border cut.

    The papers' tools differ in their windows; expect up to 0.01 between them.
    """
    sr, hr = _both_rgb(sr, hr)
    return float(np.mean([metrics.ssim(np.ascontiguousarray(sr[..., c]), np.ascontiguousarray(hr[..., c]), crop=0)
                          for c in range(3)]))


def _both_rgb(sr, hr):
    sr, hr = metrics.three_channels(np.asarray(sr)), metrics.three_channels(np.asarray(hr))
    if sr.dtype != np.uint8 or hr.dtype != np.uint8 or sr.shape != hr.shape:
        raise ValueError(f"PSNR and SSIM are measured on uint8 arrays of one size, not {sr.dtype} {sr.shape} and "
                         f"{hr.dtype} {hr.shape}.")
    return sr, hr


# Name of a protocol -> (psnr, ssim), each a function of (sr, hr); the kit's first.
PROTOCOLS = {
    "Y, 4 pixels cut (the kit's)": (metrics.psnr, metrics.ssim),
    "Y, no border cut (MindSpore's SRDiff)": (psnr_y_whole, ssim_y_whole),
    "RGB, no border cut (the SRDiff paper, the SR3 code)": (psnr_rgb_whole, ssim_rgb_whole),
}


def by_each_protocol(pairs):
    """{protocol: (mean PSNR in dB, mean SSIM)} of a list of (sr, hr)."""
    return {name: tuple(float(np.mean([measure(sr, hr) for sr, hr in pairs])) for measure in measures)
            for name, measures in PROTOCOLS.items()}


def lpips_measure(net="alex"):
    """LPIPS as a function (sr, hr) -> float of uint8 (H, W, 3) arrays; smaller is better.

    It needs the package ``lpips``, and torchvision's weights of the network, which that package
    downloads when it is first used.

    Raises:
        CheckpointError: if either is missing; the message says how to get it.
    """
    try:
        import lpips
    except ImportError:
        raise CheckpointError("LPIPS is not measured: the package lpips is not installed. It is optional: "
                              "python -m pip install lpips") from None
    try:
        network = lpips.LPIPS(net=net, verbose=False).eval()
    except Exception as error:          # urllib, ssl, socket, torch: each raises errors of its own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"LPIPS is not measured: torchvision's weights of {net!r} are not here and could not be "
                              f"downloaded ({reason}). On a machine with internet, run this once: "
                              f"python -c \"import lpips; lpips.LPIPS(net='{net}')\"; torch keeps them in the folder "
                              "torch.hub.get_dir(), from which they can be copied.") from error

    def measure(sr, hr):
        import torch
        images = [torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 127.5 - 1
                  for image in _both_rgb(sr, hr)]
        with torch.inference_mode():
            return float(network(*images))
    return measure
