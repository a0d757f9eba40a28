"""Weighted means under a Gaussian window, which SSIM is made of (numpy only)."""

import numpy as np

STRIP = 24          # rows that are computed at once: they stay in the processor's cache


def gaussian_means(images, size=11, sigma=1.5, step=STRIP):
    """Weighted means under a Gaussian window, valid positions only: float64 (N, h, W) -> (N, h - 10, W - 10).

    h is at most ``step + 10``.  The window is separable: columns, then rows, each as a product with

                 w0 w1 ... w10
        band  =     w0 w1 ... w10             (step, step + 10)
                       w0 w1 ... w10 ...

    Two thirds of it are zeros, and BLAS is still faster than numpy's sums of shifted images.  Its products are
    kept small: large ones start threads, which on a busy machine wait for each other longer than they work.
    """
    window = np.exp(-0.5 * ((np.arange(size) - size // 2) / sigma) ** 2)
    window /= window.sum()
    band = np.zeros((step, step + size - 1))
    for k in range(step):
        band[k, k:k + size] = window
    n, h, w = images.shape
    h, w = h - size + 1, w - size + 1
    rows = np.empty((n, h, images.shape[2]))
    for left in range(0, images.shape[2], 256):
        part = np.s_[..., left:left + 256]
        np.matmul(band[:h, :h + size - 1], images[part], out=rows[part])
    rows, means = rows.reshape(n * h, -1), np.empty((n * h, w))
    for left in range(0, w, step):
        part = means[:, left:left + step]
        high = part.shape[1] + size - 1
        np.matmul(rows[:, left:left + high], band[:part.shape[1], :high].T, out=part)
    return means.reshape(n, h, w)
