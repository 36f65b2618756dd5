"""The mathematics of Bayesian optimization, each against another way to the same number."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.oracles.bayesian.acquisition import log_expected_improvement, lower_confidence_bound
from ktcomponent.oracles.bayesian.gaussian_process import SPREAD, GaussianProcess, Prior, Scales
from ktcomponent.oracles.bayesian.known import Known
from ktcomponent.oracles.bayesian.model_space import ModelSpace
from ktcomponent.oracles.bayesian.proposing import Worth
from ktcomponent.oracles.bayesian.surrogate import WORSE, Surrogate, _fitted_at
from ktcomponent.oracles.bayesian.target import LAMBDAS, Target, yeo_johnson, yeo_johnson_back


def slopes(function, x, step=1e-6):
    """Central differences of a function of one vector."""
    out = []
    for k in range(len(x)):
        e = np.zeros(len(x))
        e[k] = step
        out.append((function(x + e) - function(x - e)) / (2 * step))
    return np.array(out)


def random_space(rng):
    """Mixed and conditional, up to three levels deep."""
    hp = HyperParameters()

    def declare(prefix, depth):
        for i in range(rng.integers(1, 4)):
            name = f"{prefix}{i}"
            kind = rng.integers(7)
            if kind == 0:
                hp.Float(name, 0.1, 10, sampling="log")
            elif kind == 1:
                hp.Int(name, 1, int(rng.integers(1, 50)))
            elif kind == 2:
                hp.Int(name, 1, 300, sampling="log")
            elif kind == 3:
                hp.Boolean(name)
            elif kind == 4:
                hp.Float(name, -1, 1, step=0.5)
            else:
                choices = [f"c{j}" for j in range(rng.integers(2, 6))]
                hp.Choice(name, choices)
                if depth < 3:
                    with hp.conditional_scope(name, choices[: rng.integers(1, len(choices))]):
                        declare(f"{name}_", depth + 1)

    declare("p", 0)
    hp.Fixed("constant", 1)
    return hp


seeds = st.integers(0, 10_000)


# -- the space ---------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(seeds)
def test_points_are_legal_and_come_back_from_their_values(seed):
    rng = np.random.default_rng(seed)
    hp = random_space(rng)
    space = ModelSpace(hp)
    points = space.legal(rng.random((20, space.dimensions)))
    points = np.vstack([points, space.mutants(points[:4], 5, 0.2, rng)])
    values = [space.decode(point) for point in points]
    back = space.encode(values)
    assert np.allclose(np.nan_to_num(back, nan=-1), np.nan_to_num(points, nan=-1), atol=1e-9)
    for v in values:
        held = hp.copy()
        held.values = dict(v)
        assert set(v) == {h.name for h in hp.space if held.is_active(h)}
    full = np.where(np.isnan(points), 0.3, points)
    assert np.allclose(np.nan_to_num(space.legal(full), nan=-1), np.nan_to_num(points, nan=-1), atol=1e-12)


@pytest.mark.parametrize("sampling", ["log", "reverse_log"])
@pytest.mark.parametrize(("low", "high"), [(1, 9), (3, 700), (1, 5000), (2, 10**9)])
def test_integers_of_a_scale_are_judged_by_the_value_that_runs(sampling, low, high):
    hp = HyperParameters()
    hp.Int("n", low, high, sampling=sampling)
    space = ModelSpace(hp)
    drawn = np.random.default_rng(0).random((500, 1))
    for at, (legal,) in zip(drawn[:, 0], space.legal(drawn), strict=True):
        value = space.tuned[0].prob_to_value(float(at))
        assert legal == pytest.approx(space.tuned[0].value_to_prob(value), abs=1e-9)


def test_mutants_move_and_reach_other_values():
    hp = HyperParameters()
    hp.Int("n", 1, 4)
    hp.Choice("c", ["a", "b", "z"])
    space = ModelSpace(hp)
    centre = space.encode([{"n": 2, "c": "a"}])
    mutants = space.mutants(centre, 200, 0.001, np.random.default_rng(0))
    values = [space.decode(m) for m in mutants]
    assert {v["n"] for v in values} == {1, 2, 3}
    assert {v["c"] for v in values} == {"a", "b", "z"}
    assert all(v != {"n": 2, "c": "a"} for v in values)


def test_distances_are_those_that_are_documented():
    hp = HyperParameters()
    hp.Fixed("f", 1)
    hp.Choice("c", ["a", "b", "z"])
    hp.Float("x", 0, 10)
    with hp.conditional_scope("c", ["a"]):
        hp.Int("n", 1, 4)
    space = ModelSpace(hp)
    points = space.encode([{"f": 1, "c": c, "x": 5.0, **({"n": 4} if c == "a" else {})} for c in "abz"])
    Z = space.features(points)
    assert Z.shape == (3, 6)
    assert list(space.groups) == [0, 0, 0, 1, 2, 3]
    assert list(space.is_number) == [False, True, True, False]
    assert np.linalg.norm(Z[1] - Z[2]) == pytest.approx(1.0)  # two categories
    assert Z[1, 4] == 0.5  # inactive
    assert Z[0, 4] == pytest.approx(0.875)
    assert list(Z[:, 5]) == [1.0, 0.0, 0.0]  # the condition


def test_a_hyperparameter_declared_twice_counts_once_where_both_are_active():
    hp = HyperParameters()
    hp.Choice("m", ["p", "q"])
    for values, options in ((["p", "q"], ["r", "s"]), (["q"], ["t", "u"])):
        with hp.conditional_scope("m", values):
            hp.Choice("c", options)
    space = ModelSpace(hp)
    points = space.legal(np.random.default_rng(0).random((50, 3)))
    assert np.isnan(points[:, 2]).all()
    assert {space.decode(p)["c"] for p in points} == {"r", "s"}


@settings(max_examples=40)
@given(seeds)
def test_the_kernel_is_positive_definite_on_any_space(seed):
    rng = np.random.default_rng(seed)
    space = ModelSpace(random_space(rng))
    Z = space.features(space.legal(rng.random((40, space.dimensions))))
    lengths = np.exp(rng.normal(-1, 1.5, len(space.is_number)))
    process = GaussianProcess(space.groups, Scales(lengths, 1.0, 0.0))
    K = process._kernel(Z / lengths[space.groups], Z / lengths[space.groups])
    assert np.linalg.eigvalsh(K).min() > -1e-10


# -- the process -------------------------------------------------------------------------------------------


@pytest.fixture
def observed():
    rng = np.random.default_rng(3)
    space = ModelSpace(random_space(np.random.default_rng(11)))
    points = space.legal(rng.random((25, space.dimensions)))
    y = rng.standard_normal(25)
    return space, points, (y - y.mean()) / y.std()


def test_the_gradient_of_the_posterior_of_scales_is_right(observed):
    space, points, y = observed
    prior = Prior(space.groups, space.is_number)
    Z = space.features(points)
    theta = np.append(prior.centre + np.random.default_rng(0).normal(0, 0.3, len(prior.centre)), [0.2, -3.0])
    _, gradient = prior.negative_log_posterior(theta, Z, y)
    expected = slopes(lambda t: prior.negative_log_posterior(t, Z, y)[0], theta)
    assert gradient == pytest.approx(expected, rel=1e-5, abs=1e-6)


def dense(space, points, scales):
    """The kernel matrix, entry by entry."""
    Z = space.features(points) / scales.lengths[space.groups]
    r = np.array([[math.dist(a, b) for b in Z] for a in Z])
    return scales.s2 * (1 + math.sqrt(5) * r + 5 / 3 * r**2) * np.exp(-math.sqrt(5) * r)


@pytest.mark.parametrize(("steady", "noise"), [(None, -6), (0, -4)])
def test_the_posterior_of_scales_is_that_of_a_normal_distribution(observed, steady, noise):
    space, points, y = observed
    prior = Prior(space.groups, space.is_number, steady=steady)
    scales = Scales(np.exp(prior.centre + 0.1), 1.3, 0.05)
    theta = np.log([*scales.lengths, scales.s2, scales.n2])
    R = dense(space, points, scales) + scales.n2 * np.eye(len(y))
    ones = np.linalg.solve(R, np.ones(len(y)))
    mean = ones @ y / ones.sum()
    likelihood = stats.multivariate_normal(np.full(len(y), mean), R).logpdf(y)
    log_prior = -np.sum((0.1 / SPREAD) ** 2) / 2 * len(prior.centre) - math.log(1.3) ** 2 / 2
    log_prior -= (math.log(0.05) - noise) ** 2 / 2 + math.log(0.05)
    value, _ = prior.negative_log_posterior(theta, space.features(points), y)
    assert value == pytest.approx(-likelihood - log_prior - len(y) / 2 * math.log(2 * math.pi))


def test_predictions_are_those_of_a_dense_solve(observed):
    space, points, y = observed
    scales = Scales(np.full(len(space.is_number), 0.8), 1.2, 0.03)
    process = GaussianProcess(space.groups, scales)
    process.add(space.features(points[:20]))
    process.observe(y[:20])
    K = dense(space, points, scales)
    R = K[:20, :20] + scales.n2 * np.eye(20)
    ones = np.linalg.solve(R, np.ones(20))
    mean = ones @ y[:20] / ones.sum()
    m, s = process.predict(space.features(points[20:]))
    assert m == pytest.approx(mean + K[20:, :20] @ np.linalg.solve(R, y[:20] - mean))
    variance = np.diag(K[20:, 20:] - K[20:, :20] @ np.linalg.solve(R, K[:20, 20:]))
    assert s == pytest.approx(np.sqrt(variance))
    assert process.means() == pytest.approx(mean + K[:20, :20] @ np.linalg.solve(R, y[:20] - mean))


def test_growing_is_the_same_as_starting_anew(observed):
    space, points, y = observed
    Z = space.features(points)
    scales = Scales(np.full(len(space.is_number), 0.7), 1.0, 1e-4)
    whole, grown = GaussianProcess(space.groups, scales), GaussianProcess(space.groups, scales)
    whole.add(Z)
    for part in (Z[:5], Z[5:6], Z[6:25]):
        grown.add(part)
    for process in (whole, grown):
        process.observe(y)
    assert pytest.approx(whole._L, abs=1e-9) == grown._L
    for a, b in zip(grown.predict(Z + 0.1), whole.predict(Z + 0.1), strict=True):
        assert a == pytest.approx(b, abs=1e-9)


def test_running_trials_keep_the_mean_and_lower_the_deviation(observed):
    space, points, y = observed
    Z = space.features(points)
    process = GaussianProcess(space.groups, Scales(np.full(len(space.is_number), 0.7), 1.0, 1e-3))
    process.add(Z[:20])
    process.observe(y[:20])
    m, s = process.predict(Z[20:])
    with_running = process.copy()
    with_running.add(Z[20:])
    with_running.observe(y[:20])
    n, t = with_running.predict(Z[20:])
    assert n == pytest.approx(m)
    assert (t < s).all()
    # As if they had turned out as expected.
    told = process.copy()
    told.add(Z[20:])
    told.observe(np.append(y[:20], m))
    assert told.predict(Z + 0.05)[0] == pytest.approx(process.predict(Z + 0.05)[0], abs=1e-6)


def test_gradients_of_predictions_are_right(observed):
    space, points, y = observed
    Z = space.features(points)
    process = GaussianProcess(space.groups, Scales(np.full(len(space.is_number), 0.7), 1.0, 1e-3))
    process.add(Z)
    process.observe(y[:20])
    at = Z[:3] + np.random.default_rng(1).normal(0, 0.1, Z[:3].shape)
    m, s, m_slopes, s_slopes = process.predict_with_gradient(at)
    assert m == pytest.approx(process.predict(at)[0])
    assert s == pytest.approx(process.predict(at)[1])
    for i in range(3):
        assert m_slopes[i] == pytest.approx(slopes(lambda z: process.predict(z[None])[0][0], at[i]), abs=1e-6)
        assert s_slopes[i] == pytest.approx(slopes(lambda z: process.predict(z[None])[1][0], at[i]), abs=1e-5)


# -- the acquisition ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("z", [-30.0, -8.0, -2.0, -1.0, -0.5, 0.0, 1.0, 6.0])
def test_expected_improvement_is_that_of_quadrature(z):
    s, best = 0.7, 0.2
    m = best - z * s
    value = log_expected_improvement(np.array([m]), np.array([s]), best)[0][0]
    # The integral of t phi(m + t), its largest factor taken out.
    scale = stats.norm.logpdf(min(z, 0.0))
    part, _ = integrate.quad(
        lambda t: t * math.exp(stats.norm.logpdf(z - t) - scale), 0, 60, points=[max(z, 0.0)], limit=500
    )
    assert value == pytest.approx(math.log(s * part) + scale, rel=1e-7)


@pytest.mark.parametrize("z", [-1e8, -1e5, -2e4, -9e3, -1e3])
def test_it_is_finite_and_rises_far_from_the_best(z):
    value, by_m, _ = log_expected_improvement(np.array([-z, -z * (1 - 1e-6)]), np.ones(2), 0.0)
    assert np.isfinite(value).all()
    assert value[1] > value[0]
    assert by_m[0] == pytest.approx(z, rel=1e-3)


@pytest.mark.parametrize("z", [-50.0, -3.0, -0.99, 0.0, 4.0])
def test_gradients_of_acquisitions_are_right(z):
    for function in (
        lambda m, s: log_expected_improvement(m, s, 0.1),
        lambda m, s: lower_confidence_bound(m, s, 2.6),
    ):
        m, s = 0.1 - z * 0.5, 0.5

        def at(x, function=function):
            return function(np.array([x[0]]), np.array([x[1]]))[0][0]

        expected = slopes(at, np.array([m, s]))
        _, by_m, by_s = function(np.array([m]), np.array([s]))
        assert [by_m[0], by_s[0]] == pytest.approx(expected, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("beta", [None, 2.6])
def test_the_gradient_of_a_trials_worth_is_right(beta):
    rng = np.random.default_rng(5)
    hp = HyperParameters()
    hp.Float("x", 0, 1)
    hp.Float("y", 1e-3, 1, sampling="log")
    hp.Choice("c", ["a", "b", "z"])
    with hp.conditional_scope("c", ["b"]):
        hp.Float("w", 0, 1)
    space = ModelSpace(hp)
    points = space.legal(rng.random((15, 4)))
    failed = np.arange(15) % 5 == 0
    ids = [str(i) for i in range(15)]
    known = Known(ids, points, -failed.astype(float))
    completed = Known(ids[1:5], points[1:5], rng.random(4))
    surrogate = Surrogate(space, 1e-4, 0)
    running = space.legal(rng.random((2, 4)))
    worth = Worth(
        space,
        surrogate.scores(completed, running, True),
        surrogate.feasibility(known, failed, running),
        beta,
        caution=2.0,
    )
    at = space.legal(rng.random((6, 4)))
    values, gradient = worth.gradient(at)
    assert values == pytest.approx(worth.values(at))
    for i, point in enumerate(at):
        free = np.flatnonzero(space.is_continuous & ~np.isnan(point))

        def value(x, point=point, free=free):
            moved = point.copy()
            moved[free] = x
            return worth.values(moved[None])[0]

        assert gradient[i, free] == pytest.approx(slopes(value, point[free]), rel=1e-4, abs=1e-5)
        assert (np.delete(gradient[i], free) == 0).all()


# -- scores ------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=30), st.booleans())
def test_mapped_scores_keep_their_order_and_are_finite(scores, power):
    y = np.array(scores)
    target = Target.of(y, power)
    assert np.isfinite(target.values).all()
    order = np.argsort(y, kind="stable")
    assert (np.diff(target.values[order]) >= -1e-9).all()
    assert np.abs(target.values.mean()) < 1e-6


@pytest.mark.parametrize("power", [True, False])
def test_outliers_hide_nothing_though_there_are_many(power):
    scores = np.concatenate([np.linspace(1.0, 2.0, 12), 10.0 ** np.arange(2, 10)])
    values = Target.of(scores, power).values
    assert np.all(np.diff(values[:12]) > 0)
    assert values[11] - values[0] > 0.2


@pytest.mark.parametrize("power", [True, False])
def test_ordinary_trials_stay_apart_while_a_search_in_rungs_converges(power):
    converged = 0.2 + 0.001 * np.arange(12)
    worse = np.array([0.29, 0.33])
    ordinary = np.array([0.5, 0.4, 0.35, 0.6, 0.45])
    values = Target.of(np.concatenate([worse, ordinary, converged]), power, in_rungs=True).values
    assert values[1] - values[0] > 0.05 * np.ptp(values)


@pytest.mark.parametrize("power", [True, False])
def test_an_outlier_hides_nothing_where_most_scores_are_the_same(power):
    scores = np.array([1.0] * 30 + list(np.linspace(0.5, 0.9, 10)) + [1e6])
    values = Target.of(scores, power).values
    assert values[0] - values[30] > 1.0  # in deviations


def test_scores_come_back():
    y = np.random.default_rng(0).lognormal(0, 1, 30)
    for power in (False, True):
        target = Target.of(y, power)
        back = np.array([target.middle + target.spread * target.relative(v) for v in target.values])
        kept = y <= np.quantile(y, 0.75)
        assert back[kept] == pytest.approx(y[kept])


@pytest.mark.parametrize("power", LAMBDAS)
def test_the_transform_and_its_inverse(power):
    y = np.array([-3.0, -0.5, 0.0, 0.7, 4.0])
    z = yeo_johnson(y, power)
    assert [yeo_johnson_back(v, power) for v in z] == pytest.approx(y)
    if power == 1.0:
        assert z == pytest.approx(y)


# -- many trials -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_surrogate_gives_the_same_however_the_trials_came():
    rng = np.random.default_rng(1)
    hp = HyperParameters()
    for i in range(3):
        hp.Float(f"x{i}", 0, 1)
    space = ModelSpace(hp)
    points = space.legal(rng.random((530, 3)))
    scores = np.sum(points**2, axis=1)
    none = np.zeros((0, 3))

    def known(n):
        return Known([str(i) for i in range(n)], points[:n], scores[:n])

    step_by_step = Surrogate(space, 1e-4, 7)
    for n in (40, 99, 120, 123, 124, 129, 199, 203, 499, 507):
        grown = step_by_step.scores(known(n), none, True)
        fresh = Surrogate(space, 1e-4, 7).scores(known(n), none, True)
        at = space.features(points[:20])
        assert (grown.process.predict(at)[0] == fresh.process.predict(at)[0]).all()
        assert (grown.process.predict(at)[1] == fresh.process.predict(at)[1]).all()


def test_scales_are_fitted_ever_more_seldom_and_never_with_fewer_trials_than_before():
    fitted = [_fitted_at(n) for n in range(1, 1200)]
    assert all(m <= n for n, m in enumerate(fitted, 1))
    assert (np.diff(fitted) >= 0).all()
    assert all(_fitted_at(m) == m for m in fitted)


def test_of_very_many_trials_the_best_are_kept():
    rng = np.random.default_rng(1)
    hp = HyperParameters()
    hp.Float("x", 0, 1)
    space = ModelSpace(hp)
    points = space.legal(rng.random((1500, 1)))
    scores = np.abs(points[:, 0] - 0.3)
    surrogate = Surrogate(space, 1e-4, 7)
    found = surrogate.scores(Known([str(i) for i in range(1500)], points, scores), np.zeros((0, 1)), False)
    assert 1000 <= len(found.process) <= 1032
    assert abs(found.best[0, 0] - 0.3) < 0.01


@pytest.mark.parametrize("in_rungs", [False, True])
def test_running_trials_turn_out_worse_than_expected_but_in_rungs(in_rungs):
    rng = np.random.default_rng(7)
    hp = HyperParameters()
    hp.Float("x", 0, 1)
    hp.Float("y", 0, 1)
    space = ModelSpace(hp, pinned="y" if in_rungs else None)
    points, running = space.legal(rng.random((12, 2))), space.legal(rng.random((3, 2)))
    surrogate = Surrogate(space, 1e-4, 0)
    known = Known([str(i) for i in range(12)], points, rng.random(12))
    for i, point in enumerate(running):
        Z = space.features(point[None])
        (m,), (s,) = surrogate.scores(known, running[:i], False).process.predict(Z)
        (n,), (t,) = surrogate.scores(known, running[: i + 1], False).process.predict(Z)
        # The mean of all moves a little too.
        assert (n - m) / s == pytest.approx(0.0 if in_rungs else WORSE, abs=0.1)
        assert t < 0.01 * s
