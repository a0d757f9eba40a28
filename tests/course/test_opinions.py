"""The statistics of opinion scores, on raters whose true scores and habits are known."""

import numpy as np
import pytest

from course.opinions import (
    anchors_in_order,
    bands,
    bradley_terry,
    half_widths,
    rank_ranges,
    repeat_agreement,
    studentized_range,
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


def judged(truth, seed, n_raters=12, share=0.7, noise=0.6, taste=0.2):
    """Scores of raters with biases and tastes: (mean score, half the interval) of each student, and the bands."""
    rng, n = np.random.default_rng(seed), len(truth)
    tastes, bias = rng.normal(0, taste, (n_raters, n)), rng.uniform(-0.7, 0.7, n_raters)
    image = rng.normal(0, 0.3, 5)                                  # an image is easier than another one
    raters, pictures = np.nonzero(rng.random((n_raters, 5 * n)) < share)
    scores = truth[pictures // 5] + image[pictures % 5] - image.mean() + bias[raters] + tastes[raters, pictures // 5]
    scores = np.clip(np.round(scores + rng.normal(0, noise, len(raters))), 1, 5)
    quality, _, corrected = without_bias(raters, pictures, scores)
    groups = np.arange(5 * n) // 5
    mos = quality.reshape(n, 5).mean(axis=1)
    half = half_widths(raters, pictures, corrected, groups, np.arange(5 * n) % 5)
    return mos, half, bands(mos, mos - half, mos + half)


def test_sixty_students_of_four_levels_come_out_as_four_bands():
    levels = np.array([4.6, 3.7, 2.7, 1.7]).repeat(15)[np.random.default_rng(0).permutation(60)]
    mos, half, band = judged(levels, seed=1)
    assert {(level, b) for level, b in zip(levels, band)} == {(4.6, 0), (3.7, 1), (2.7, 2), (1.7, 3)}
    best, worst = rank_ranges(mos - half, mos + half)
    rank = 1 + (levels[None, :] > levels[:, None]).sum(axis=1)     # the best rank that is true of a level
    assert (best <= rank + 14).all() and (rank <= worst).all() and (worst - best).mean() < 25


def test_sixty_students_without_levels_get_some_bands_and_none_holds_two_that_are_far_apart():
    truth = np.linspace(1.6, 4.6, 60)
    mos, half, band = judged(truth, seed=2)
    assert 3 <= band.max() + 1 <= 6 and np.corrcoef(truth, mos)[0, 1] > 0.97
    assert (np.diff(band[np.argsort(-mos)]) >= 0).all()
    for k in range(60):
        for other in range(60):
            if mos[k] - half[k] > mos[other] + half[other]:
                assert band[k] < band[other]


def test_a_class_of_equals_is_one_band_in_nineteen_cases_of_twenty():
    apart = sum(judged(np.full(20, 3.0), seed, n_raters=6, share=0.9)[2].max() > 0 for seed in range(60))
    assert apart <= 7                                              # 3 are expected; more than 7 have a chance of 1 %


def test_whom_raters_disagree_about_has_a_wider_interval():
    rng = np.random.default_rng(0)
    raters, pictures = np.nonzero(np.ones((8, 20)))                # four students, five pictures each
    scores = 3 + rng.normal(0, 0.2, 160) + np.where(pictures // 5 == 0, np.where(raters % 2, 1.5, -1.5), 0)
    half = half_widths(raters, pictures, scores, np.arange(20) // 5, np.arange(20) % 5)
    assert half[0] > 1.5 * half[1] and half[1:] == pytest.approx(half[1])


def test_of_a_single_rater_there_is_no_interval():
    half = half_widths(np.zeros(4, int), np.arange(4), np.arange(4.0), np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]))
    assert np.isnan(half).all()


def test_the_studentized_range_is_that_of_the_tables():
    # Tukey's tables: 3.88 for 3 means and 10 degrees of freedom, 4.47 for 10 means and many.
    assert studentized_range(3, 10, 0.95) == pytest.approx(3.88, abs=0.1)
    assert studentized_range(10, 10_000, 0.95) == pytest.approx(4.47, abs=0.05)


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


def test_bands_part_where_intervals_do_not_touch():
    scores = np.array([4.5, 4.4, 3.0, 2.9, 1.0])
    low, high = scores - 0.3, scores + 0.3
    assert bands(scores, low, high).tolist() == [0, 0, 1, 1, 2]
    assert bands(scores[::-1], low[::-1], high[::-1]).tolist() == [2, 1, 1, 0, 0]
    high[4], low[4] = 5, 0.5                         # of the last one nothing is known, and the others stay apart
    assert bands(scores, low, high).tolist() == [0, 0, 1, 1, 1]


def test_a_chain_of_intervals_that_touch_is_cut_where_the_gap_is_widest():
    scores = np.array([4.5, 4.1, 4.0, 3.4, 3.2, 2.9, 2.3])
    found = bands(scores, scores - 0.45, scores + 0.45)
    assert found.tolist() == [0, 0, 0, 1, 1, 1, 2]                 # the example: 4.5 and 2.3 were in one band


def test_ranks_are_those_that_intervals_allow():
    low, high = np.array([4.0, 3.5, 1.0]), np.array([5.0, 4.2, 2.0])
    best, worst = rank_ranges(low, high)
    assert best.tolist() == [1, 1, 3] and worst.tolist() == [2, 2, 3]


def test_repeats_are_compared():
    agreement = repeat_agreement([1, 2, 3, 5], [1, 3, 3, 2])
    assert agreement["n"] == 4 and agreement["mean_difference"] == 1 and agreement["within_one"] == 0.75
    assert repeat_agreement([], [])["n"] == 0


def test_anchors_out_of_order_are_told():
    assert anchors_in_order({"bicubic": 2, "SRResNet": 3.4, "HR": 4.3}) == []
    assert anchors_in_order({"bicubic": 3.5, "SRResNet": 3.4, "HR": 4.3}) == [
        "bicubic (3.50) is not below SRResNet (3.40)"]
