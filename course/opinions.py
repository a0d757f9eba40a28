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


def half_widths(raters, pictures, scores, groups, images, error=0.05):
    """Half the width of the interval of each group of pictures (a student's five, say), made for comparing.

    Two groups whose intervals do not touch differ.  This is Tukey's test of all pairs (1949), drawn as intervals
    (Gabriel 1978): the chance that anywhere among the groups two that are equal are told apart is ``error``.  A rater
    counts once for each group, with the mean of the scores given to it, because the scores of one person are not
    independent.  How much these means vary is estimated from all groups together; where raters disagree more about one
    group than about the others, its own spread counts.  What moves all groups alike is left out.

    Args:
        raters, pictures: int arrays (n,), numbered from 0.
        scores: float array (n,), without the raters' bias.
        groups, images: int arrays (pictures,): the group of each picture; the image that it shows.

    Returns:
        float array (groups,); nan for all where no group has two raters.
    """
    n, n_raters = groups.max() + 1, raters.max() + 1
    quality = means(pictures, scores, len(groups))
    ease = means(images, quality - means(groups, quality, n)[groups], images.max() + 1)     # of an image
    by_rater = means(raters * n + groups[pictures], scores - ease[images[pictures]], n_raters * n).reshape(n_raters, n)
    seen = np.isfinite(by_rater)
    count = seen.sum(axis=0)
    centre = np.where(seen, by_rater, 0).sum(axis=0) / count
    squares = np.where(seen, (by_rater - centre) ** 2, 0).sum(axis=0)
    freedom = int((count - 1).sum())
    if freedom == 0:
        return np.full(n, math.nan)
    variance = np.maximum(squares.sum() / freedom, squares / np.maximum(count - 1, 1))
    return studentized_range(n, freedom, 1 - error) / 2 * np.sqrt(variance / count)


def studentized_range(n, freedom, level, draws=20_000):
    """The quantile of the range of n standard normal numbers over an estimate of their spread, by simulation."""
    rng = np.random.default_rng(0)
    ranges = np.ptp(rng.standard_normal((draws, max(n, 2))), axis=1)
    return float(np.quantile(ranges / np.sqrt(rng.chisquare(freedom, draws) / freedom), level))


def rank_ranges(low, high):
    """(best, worst) rank that each interval allows; rank 1 is the highest.  Those that lie above it come before it."""
    above = low[None, :] > high[:, None]                # [i, j]: j lies above i
    return 1 + above.sum(axis=1), len(low) - above.sum(axis=0)


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
    """Bands of scores such that all intervals of one band touch each other: int array, 0 is the best band.

    There are as few bands as this allows: of two neighbouring bands, some pair does not touch.  Among the ways to draw
    so few, the boundaries lie where neighbours in rank are furthest apart.
    """
    order = np.argsort(-np.asarray(scores), kind="stable")
    scores, low, high = (np.asarray(values, float)[order] for values in (scores, low, high))
    # For the first k in rank: (bands, minus the gaps at their boundaries, where the last band begins).
    best = [(0, 0.0, 0)]
    for k in range(1, len(order) + 1):
        ways = [(best[first][0] + 1, best[first][1] - (scores[first - 1] - scores[first] if first else 0), first)
                for first in range(k) if low[first:k].max() <= high[first:k].min()]
        best.append(min(ways))
    result, end = np.zeros(len(order), int), len(order)
    while end:
        result[order[best[end][2]:end]] = best[end][0] - 1
        end = best[end][2]
    return result


def anchors_in_order(quality):
    """Whether the anchors' mean scores are in the order that they should be in: the faults, as a list of sentences."""
    there = [name for name in ANCHORS if name in quality]
    return [f"{worse} ({quality[worse]:.2f}) is not below {better} ({quality[better]:.2f})"
            for worse, better in zip(there, there[1:]) if quality[worse] >= quality[better]]
