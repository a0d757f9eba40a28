"""The statistics of opinion scores: rater bias, intervals, pairs, ranks, bands (numpy only).

Scores go from 1 to 5.  An image is one of Set5's five; a picture is what one student, or an anchor, made of it.
"""

import math

import numpy as np

ANCHORS = ("bicubic", "SRResNet", "HR")          # hidden among the pictures, in the order that raters should find


def without_bias(raters, pictures, scores, rounds=200):
    """Remove the raters' habits: score = quality of the picture + bias of the rater + noise.

    Both are fitted by least squares (means, taken in turns, converge to the solution), and the biases of
    all raters add up to zero.  So a strict rater who happened to see the better half does it no harm.

    Args:
        raters, pictures: int arrays (n,), numbered from 0.
        scores: float array (n,).

    Returns:
        (quality of each picture, bias of each rater, scores minus the rater's bias)
    """
    n_raters, n_pictures = raters.max() + 1, pictures.max() + 1
    bias = np.zeros(n_raters)
    for _ in range(rounds):
        quality = means(pictures, scores - bias[raters], n_pictures)
        before, bias = bias, means(raters, scores - quality[pictures], n_raters)
        bias -= bias.mean()
        if np.abs(bias - before).max() < 1e-9:
            break
    return means(pictures, scores - bias[raters], n_pictures), bias, scores - bias[raters]


def means(groups, values, n):
    """The mean of the values of each group 0 ... n - 1; nan for a group without a value."""
    counts = np.bincount(groups, minlength=n)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.bincount(groups, weights=values, minlength=n) / counts


def bootstrap(raters, pictures, scores, groups, n=1000, seed=0):
    """Mean scores of groups of pictures (a student's five, say), over resampled raters.

    Whole raters are drawn with replacement, not single scores: the scores of one person are not independent.

    Args:
        groups: int array (pictures,): the group of each picture.

    Returns:
        float array (n, groups); nan where no drawn rater has seen a group.
    """
    rng, n_raters = np.random.default_rng(seed), raters.max() + 1
    of_rater = [np.flatnonzero(raters == rater) for rater in range(n_raters)]
    result = np.full((n, groups.max() + 1), np.nan)
    for k in range(n):
        drawn = rng.integers(n_raters, size=n_raters)
        rows = np.concatenate([of_rater[rater] for rater in drawn])
        # A rater who was drawn twice counts as two people.
        names = np.repeat(np.arange(n_raters), [len(of_rater[rater]) for rater in drawn])
        quality, _, _ = without_bias(names, pictures[rows], scores[rows], rounds=20)
        quality = np.append(quality, np.full(len(groups) - len(quality), np.nan))
        seen = np.isfinite(quality)
        result[k] = means(groups[seen], quality[seen], groups.max() + 1)
    return result


def interval(samples, level=0.95):
    """(low, high) of each column: the middle ``level`` of the bootstrap's samples."""
    low, high = np.nanpercentile(samples, [50 * (1 - level), 50 * (1 + level)], axis=0)
    return low, high


def rank_ranges(samples, level=0.95):
    """(best, worst) rank of each column in the middle ``level`` of the samples; rank 1 has the highest score."""
    ranks = np.apply_along_axis(lambda row: _ranks(-row), 1, np.where(np.isnan(samples), -np.inf, samples))
    low, high = np.percentile(ranks, [50 * (1 - level), 50 * (1 + level)], axis=0)
    return np.floor(low).astype(int), np.ceil(high).astype(int)


def _ranks(values):
    order, ranks = np.argsort(values, kind="stable"), np.empty(len(values))
    ranks[order] = np.arange(1, len(values) + 1)
    return ranks


def repeat_agreement(first, second):
    """How well raters agree with themselves on pictures that they saw twice.

    Returns:
        dict: "n", "mean_difference" (in points), "within_one" (share), "correlation" (nan for fewer than three).
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    if len(first) == 0:
        return {"n": 0, "mean_difference": math.nan, "within_one": math.nan, "correlation": math.nan}
    difference = np.abs(first - second)
    varied = len(first) > 2 and first.std() > 0 and second.std() > 0
    return {"n": len(first), "mean_difference": float(difference.mean()), "within_one": float((difference <= 1).mean()),
            "correlation": float(np.corrcoef(first, second)[0, 1]) if varied else math.nan}


def bradley_terry(n, wins, prior=0.5, rounds=1000):
    """Strengths from votes on pairs (Bradley and Terry 1952): P(i beats j) = s_i / (s_i + s_j).

    Fitted by Hunter's minorisation (2004, "MM algorithms", equation 3).  A vote "equal" is half a win
    for each.  A little ``prior`` (wins and losses against an average opponent) keeps the strength
    finite for a contestant who has won every vote.

    Args:
        n: number of contestants.
        wins: float array (n, n); wins[i, j] is how often i beat j.

    Returns:
        log strengths, their mean 0.
    """
    wins = np.asarray(wins, float)
    games, strength = wins + wins.T, np.ones(n)
    for _ in range(rounds):
        shared = (games / (strength[:, None] + strength[None, :])).sum(axis=1) + 2 * prior / (strength + 1)
        new = (wins.sum(axis=1) + prior) / shared
        new /= np.exp(np.log(new).mean())
        if np.abs(np.log(new / strength)).max() < 1e-10:
            return np.log(new)
        strength = new
    return np.log(strength)


def bands(scores, low, high):
    """Bands of scores, separated only where intervals are: int array, 0 is the best band.

    There is a boundary between two neighbours in rank if the intervals of all above it lie above the
    intervals of all below it.  Where intervals overlap, there is none.
    """
    order = np.argsort(-np.asarray(scores), kind="stable")
    result, band = np.zeros(len(order), int), 0
    for k, index in enumerate(order):
        if k and min(low[order[:k]]) > max(high[order[k:]]):
            band += 1
        result[index] = band
    return result


def anchors_in_order(quality):
    """Whether the anchors' mean scores are in the order that they should be in: the faults, as a list of sentences."""
    there = [name for name in ANCHORS if name in quality]
    return [f"{worse} ({quality[worse]:.2f}) is not below {better} ({quality[better]:.2f})"
            for worse, better in zip(there, there[1:]) if quality[worse] >= quality[better]]
