"""The statistics of opinion scores, on raters whose true scores and habits are known."""

import numpy as np
import pytest

from course.opinions import (
    anchors_in_order,
    bands,
    bootstrap,
    bradley_terry,
    interval,
    rank_ranges,
    repeat_agreement,
    without_bias,
)


def opinions(n_students=12, n_raters=10, share=0.6, noise=0.5, seed=0):
    """Raters with biases of up to one point, who see a part of the pictures: (raters, pictures, scores, truth)."""
    rng = np.random.default_rng(seed)
    truth = np.linspace(1.5, 4.5, n_students)[rng.permutation(n_students)]
    bias = rng.uniform(-1, 1, n_raters)
    raters, pictures = np.nonzero(rng.random((n_raters, 5 * n_students)) < share)
    scores = truth[pictures // 5] + bias[raters] + rng.normal(0, noise, len(raters))
    return raters, pictures, np.clip(np.round(scores), 1, 5), truth, bias - bias.mean()


def test_the_raters_habits_are_found_and_taken_away():
    raters, pictures, scores, truth, bias = opinions(noise=0)
    exact = truth[pictures // 5] + bias[raters]
    quality, found, corrected = without_bias(raters, pictures, exact)
    assert np.allclose(found, bias, atol=1e-6) and np.allclose(quality, truth[np.arange(60) // 5], atol=1e-6)
    assert np.allclose(corrected, truth[pictures // 5], atol=1e-6)


def test_a_strict_rater_who_saw_the_better_half_does_it_no_harm():
    raters = np.array([0, 0, 0, 1, 1, 1])
    pictures = np.array([0, 1, 2, 1, 2, 3])           # rater 1 is two points stricter and saw the better ones
    quality, bias, _ = without_bias(raters, pictures, np.array([1.0, 2, 3, 0, 1, 2]))
    assert np.diff(quality) == pytest.approx([1, 1, 1]) and bias == pytest.approx([1, -1])


def test_the_true_order_is_recovered_and_the_intervals_hold_the_truth():
    raters, pictures, scores, truth, _ = opinions()
    groups = np.arange(60) // 5
    samples = bootstrap(raters, pictures, scores, groups, n=300)
    quality, _, _ = without_bias(raters, pictures, scores)
    means = quality.reshape(12, 5).mean(axis=1)
    assert np.corrcoef(np.argsort(np.argsort(means)), np.argsort(np.argsort(truth)))[0, 1] > 0.95
    low, high = interval(samples)
    centred = truth - truth.mean() + means.mean()
    assert ((low - 0.15 <= centred) & (centred <= high + 0.15)).mean() > 0.8
    best, worst = rank_ranges(samples)
    rank = 12 - np.argsort(np.argsort(truth))
    assert (best <= rank).mean() > 0.9 and (rank <= worst).mean() > 0.9 and (worst - best).mean() < 5


def test_the_bootstrap_is_a_function_of_its_seed():
    raters, pictures, scores, _, _ = opinions(n_students=3, n_raters=4)
    groups = np.arange(15) // 5
    first, again, other = (bootstrap(raters, pictures, scores, groups, n=20, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again, equal_nan=True) and not np.array_equal(first, other, equal_nan=True)


def test_bradley_terry_has_the_closed_form_of_two():
    # Without a prior P(0 beats 1) is the share of wins: strength difference log(3 / 1).
    assert np.diff(bradley_terry(2, [[0, 3], [1, 0]], prior=1e-9)) == pytest.approx([-np.log(3)], abs=1e-6)
    assert bradley_terry(2, [[0, 2], [2, 0]]) == pytest.approx([0, 0])


def test_bradley_terry_recovers_known_strengths():
    rng, truth = np.random.default_rng(0), np.array([-1.5, -0.5, 0, 0.6, 1.4])
    wins = np.zeros((5, 5))
    for i in range(5):
        for j in range(i):
            k = rng.binomial(400, 1 / (1 + np.exp(truth[j] - truth[i])))
            wins[i, j], wins[j, i] = k, 400 - k
    assert bradley_terry(5, wins) == pytest.approx(truth - truth.mean(), abs=0.2)


def test_who_has_won_every_vote_stays_finite():
    strengths = bradley_terry(3, [[0, 9, 9], [0, 0, 9], [0, 0, 0]])
    assert np.isfinite(strengths).all() and (np.diff(strengths) < 0).all()


def test_bands_part_only_where_intervals_part():
    scores = np.array([4.5, 4.4, 3.0, 2.9, 1.0])
    low, high = scores - 0.3, scores + 0.3
    assert bands(scores, low, high).tolist() == [0, 0, 1, 1, 2]
    high[4], low[4] = 5, 0.5                         # of the last one nothing is known
    assert bands(scores, low, high).tolist() == [0, 0, 0, 0, 0]
    assert bands(scores[::-1], low[::-1] - 0, high[::-1]).tolist() == [0, 0, 0, 0, 0]


def test_repeats_are_compared():
    agreement = repeat_agreement([1, 2, 3, 5], [1, 3, 3, 2])
    assert agreement["n"] == 4 and agreement["mean_difference"] == 1 and agreement["within_one"] == 0.75
    assert repeat_agreement([], [])["n"] == 0


def test_anchors_out_of_order_are_told():
    assert anchors_in_order({"bicubic": 2, "SRResNet": 3.4, "HR": 4.3}) == []
    assert anchors_in_order({"bicubic": 3.5, "SRResNet": 3.4, "HR": 4.3}) == [
        "bicubic (3.50) is not below SRResNet (3.40)"]
