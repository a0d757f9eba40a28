"""The mathematics that SRDiff and SR3 share: adding noise, and taking it away step by step.

Ho et al. 2020, "Denoising Diffusion Probabilistic Models" (DDPM, arXiv 2006.11239); Song et al.
2021, "Denoising Diffusion Implicit Models" (DDIM, arXiv 2010.02502).  Steps count from 0 (a
little noise) to T - 1 (hardly anything but noise).
"""

import math

import torch


def cosine_betas(n_steps, s=0.008, largest=0.999):
    """Nichol and Dhariwal 2021 (arXiv 2102.09672), section 3.2: the image fades like a cosine.  float64 (T,)."""
    u = torch.linspace(0, n_steps + 1, n_steps + 1, dtype=torch.float64) / (n_steps + 1)
    fading = torch.cos((u + s) / (1 + s) * math.pi / 2) ** 2
    return (1 - fading[1:] / fading[:-1]).clamp(0, largest)


def linear_betas(n_steps, first, last):
    """DDPM, section 4: betas in equal steps.  float64 (T,)."""
    return torch.linspace(first, last, n_steps, dtype=torch.float64)


class Diffusion:
    """One schedule of noise.  Its tables are float64 on the CPU; what it computes has the dtype of its input.

    Args:
        betas: float64 (T,), the variance that each step adds.
    """

    def __init__(self, betas):
        self.betas, self.n_steps = betas, len(betas)
        self.alphabar = torch.cumprod(1 - betas, dim=0)                          # what is left of the image
        self.alphabar_before = torch.cat([torch.ones(1, dtype=torch.float64), self.alphabar[:-1]])

    def add_noise(self, x0, t, noise):
        """x_t = sqrt(alphabar_t) x0 + sqrt(1 - alphabar_t) noise (DDPM, equation 4); t: int64 (N,)."""
        keep, spread = self._factors(t, x0)
        return keep * x0 + spread * noise

    def x0_of(self, x, t, noise):
        """The image that this noise was added to: equation 4 solved for x0."""
        keep, spread = self._factors(t, x)
        return (x - spread * noise) / keep

    def noise_of(self, x, t, x0):
        """The noise that was added to this image: equation 4 solved for the noise."""
        keep, spread = self._factors(t, x)
        return (x - keep * x0) / spread

    def _factors(self, t, like):
        """(sqrt(alphabar_t), sqrt(1 - alphabar_t)), each (N, 1, 1, 1)."""
        # Roots first, in float64: at SR3's first steps 1 - alphabar is 1e-6, and float32 would keep one digit of it.
        keep = self.alphabar[t.cpu()]
        return shaped(keep.sqrt(), like), shaped((1 - keep).sqrt(), like)

    def posterior(self, x0, x, t, before=None):
        """Mean and variance of a less noisy x, given x0 and x_t (DDPM, equations 6 and 7).

        Args:
            t: int64 (N,), the steps of x.
            before: int64 (N,), the steps to go to (default: t - 1).  If some are left out, the beta
                between the two follows from their alphabars.
        """
        keep = self.alphabar[t.cpu()]
        earlier = self.alphabar_before[t.cpu()] if before is None else self.alphabar[before.cpu()]
        beta = 1 - keep / earlier
        factors = (earlier.sqrt() * beta, (1 - beta).sqrt() * (1 - earlier), beta * (1 - earlier))
        of_x0, of_x, variance = (shaped(factor / (1 - keep), x) for factor in factors)
        return of_x0 * x0 + of_x * x, variance

    def steps(self, n=None, start=None):
        """The steps of sampling, the noisiest first: all, or n of them, each the middle of an interval.

        Neither end is good for a large step: where almost nothing is left of the image, the error of the
        predicted noise is taken for the image; where almost no noise is left, the error stays.

        Args:
            start: the first step, if sampling does not begin with pure noise.
        """
        if start is not None:
            n = min(n or start + 1, start + 1)
            return [start - i * (start + 1) // n for i in range(n)]
        n = min(n or self.n_steps, self.n_steps)
        return [(2 * i + 1) * self.n_steps // (2 * n) for i in range(n - 1, -1, -1)]

    @torch.inference_mode()
    def sample(self, predict, x, generator, n_steps=None, ddim=False, clip=1.0, on_step=None, start=None):
        """Sample an image: from noise, step by step.

        Args:
            predict: function (x_t, t) -> the noise in it; t is an int.
            x: what sampling begins with, usually noise (N, 3, H, W).
            generator: torch.Generator on the CPU, for the noise of the steps: the same on every device.
            n_steps: fewer steps than in training (default: all).
            ddim: no new noise (DDIM, eta = 0).
            clip: x0 is clamped to [-clip, clip]; None: no clipping.
            on_step: function (step number, estimate of x0, x), called after each step.
            start: the step whose noise ``x`` has (default: the last one, pure noise).

        Returns:
            x_0, (N, 3, H, W).
        """
        steps = self.steps(n_steps, start)
        for number, t in enumerate(steps):
            last, times = number == len(steps) - 1, torch.full((len(x),), t)
            noise = predict(x, t)
            x0 = self.x0_of(x, times, noise)
            if clip is not None:
                x0 = x0.clamp(-clip, clip)
            if last:
                x = x0
            elif ddim:
                # DDIM, equation 12 with eta = 0.  The noise is the one that belongs to the clipped x0.
                before = torch.full((len(x),), steps[number + 1])
                x = self.add_noise(x0, before, self.noise_of(x, times, x0))
            else:
                mean, variance = self.posterior(x0, x, times, torch.full((len(x),), steps[number + 1]))
                x = mean + variance.sqrt() * randn(x, generator)
            if on_step:
                on_step(number, x0, x)
        return x


def shaped(values, like):
    """float64 (N,), a number for each image, as factors of ``like`` (N, C, H, W)."""
    return values.to(like).view(-1, *[1] * (like.ndim - 1))


def randn(like, generator):
    """Noise of this shape and device, drawn on the CPU: a seed gives the same image on every device."""
    return torch.randn(like.shape, generator=generator, dtype=torch.float32).to(like)
