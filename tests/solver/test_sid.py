"""The maximiser against closed forms, invariances and the condition of the optimum."""

import math

import pytest
import torch
from torch import nn

from closed_forms import identity_entropy, linear_problem, linear_sigma, random
from infodiscard import InfodiscardError
from infodiscard.errors import SampleError
from infodiscard.solver.effort import MIN_PASSES, Effort
from infodiscard.solver.entropy import gaussian_entropy
from infodiscard.solver.feature_distance import FeatureDistance
from infodiscard.solver.problem import Problem
from infodiscard.solver.sample_noise import SampleNoise
from infodiscard.solver.sid import Solution, maximise_entropy
from infodiscard.solver.sigma_space import SigmaSpace

ALPHA, TAU, CAP = 1.5, 0.01, 50.0
CAREFUL = Effort(tolerance=0.008, max_passes=10_000, precision=0.004)


def solve(feature, inputs: torch.Tensor, sigma: str = "pixel", effort: Effort = CAREFUL, **options) -> Solution:
    distance = FeatureDistance(feature, inputs, options.pop("batch_size", None))
    space = SigmaSpace.parse(sigma, tuple(inputs.shape[1:]))
    settings = {"alpha": ALPHA, "tau": TAU, "cap": CAP, **options}
    return maximise_entropy(Problem(distance, space, **settings), effort)


def assert_within_error(solution: Solution, exact: torch.Tensor) -> None:
    """The mean of log σ is right within the distance's sampling error, and its shape within the reported gap.

    E is quadratic here: an error of E by a factor 1 + ε moves the mean by ε / 2, and errors e_i of log σ_i cost
    mean(e_i²) of entropy at equal distance. The corrected mean is right within its own error.
    """
    difference = solution.log_sigma - exact
    corrected = difference.mean((1, 2, 3)) + solution.correction
    assert (corrected.abs() <= 3 * solution.correction_se).all()
    mean = difference.mean((1, 2, 3), keepdim=True)
    relative = solution.distance_se / solution.distance + (solution.distance / ALPHA - 1).abs()
    assert (mean[:, 0, 0, 0].abs() <= solution.gap + 0.5 * 3 * relative).all()
    assert ((difference - mean).square().mean((1, 2, 3)) <= 2 * solution.gap + 1e-4).all()


@pytest.mark.parametrize(("alpha", "tau"), [(1.5, 0.01), (0.7, 1e-4)])
def test_the_closed_form_meets_the_constraint_and_the_optimality_condition(alpha, tau):
    weight = random(7, 5) * torch.tensor([0.1, 1, 2, 5, 0.7], dtype=torch.float64)
    sigma = linear_sigma(weight, alpha, tau)
    norms = weight.square().sum(0)
    scale = tau * weight.square().sum()
    torch.testing.assert_close((sigma.square() * norms).sum(), alpha * scale)
    # KKT: ∂(Σ log σ)/∂σ_i = λ ∂E/∂σ_i with one λ for all units.
    free = sigma.clone().requires_grad_()
    (left,) = torch.autograd.grad(gaussian_entropy(free).sum(), free)
    (right,) = torch.autograd.grad((free.square() * norms).sum(), free)
    ratio = left / right
    torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio))
    # No other σ that meets the constraint has more entropy.
    others = sigma * (0.3 * random(200, 5, seed=1)).exp()
    others *= (alpha * scale / (others.square() * norms).sum(1, keepdim=True)).sqrt()
    assert (gaussian_entropy(others).sum(1) < gaussian_entropy(sigma).sum()).all()


def test_linear_layer_has_the_closed_form():
    weight, inputs = linear_problem()
    solution = solve(lambda x: x.flatten(1) @ weight.T, inputs)
    exact = linear_sigma(weight, ALPHA, TAU).log().view(1, 1, 8, 8)
    assert solution.converged.all()
    assert exact.std() > 0.8  # the map is far from flat, so that a solver that does nothing would fail
    assert_within_error(solution, exact)


def test_pixel_sums_the_norms_of_its_channels():
    weight, inputs = linear_problem(channels=3, size=6)
    solution = solve(lambda x: x.flatten(1) @ weight.T, inputs)
    norms = weight.square().sum(0).view(3, 6, 6).sum(0, keepdim=True)
    # Σ_i ‖w_i‖² σ_i² = α δ_f² with every pixel contributing alike.
    exact = 0.5 * (ALPHA * TAU * norms.sum() / (norms.numel() * norms)).log()
    assert_within_error(solution, exact[None])


def test_unit_has_one_sigma_per_channel():
    weight, inputs = linear_problem(channels=3, size=6)
    solution = solve(lambda x: x.flatten(1) @ weight.T, inputs, sigma="unit")
    assert solution.log_sigma.shape == (2, 3, 6, 6)
    assert_within_error(solution, linear_sigma(weight, ALPHA, TAU).log().view(1, 3, 6, 6))


def test_grid_whose_cells_differ_in_size():
    weight, inputs = linear_problem(size=8)
    space = SigmaSpace.parse("grid:3", (1, 8, 8))
    solution = solve(lambda x: x.flatten(1) @ weight.T, inputs, sigma="grid:3")
    norms, sizes = space.gather(weight.square().sum(0).view(1, 8, 8)), space.weights(weight)
    exact = 0.5 * (ALPHA * TAU * norms.sum() * sizes / (64 * norms)).log()
    difference = solution.log_sigma - exact
    assert ((difference * sizes / 64).sum((1, 2, 3)) + solution.correction).abs().max() < 3 * 0.008
    assert ((difference - difference.mean((1, 2, 3), keepdim=True)).square() < 9 * 2 * solution.gap.max()).all()
    assert solution.converged.all()


def test_identity_layer_is_flat():
    inputs = random(2, 3, 16, 16).float()
    solution = solve(lambda x: x, inputs, effort=Effort())
    entropy = gaussian_entropy(solution.log_sigma.exp())
    assert entropy.std() < 0.05
    assert entropy.mean().item() == pytest.approx(identity_entropy(ALPHA, TAU), abs=0.02)
    assert solution.converged.all() and (solution.passes <= 128).all()


def test_no_floor_under_small_noise():
    """A floor such as log(σ² + 1e-6) would bend this one."""
    inputs = random(1, 1, 8, 8)
    solution = solve(lambda x: x, inputs, tau=1e-14)
    assert gaussian_entropy(solution.log_sigma.exp()).mean().item() == pytest.approx(
        identity_entropy(ALPHA, 1e-14), abs=0.02
    )


def small_network(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten()
        )
    return network.double().requires_grad_(False)


def test_optimum_of_a_nonlinear_layer_meets_the_kkt_condition():
    """∂E/∂log σ_i is the same for every pixel: checked on fresh noise, halves crosswise so that noise drops out."""
    network, inputs = small_network(), random(1, 1, 16, 16)
    solution = solve(network, inputs)
    distance, sigma = FeatureDistance(network, inputs), solution.log_sigma.exp()
    rows, noise = torch.tensor([0]), SampleNoise(inputs, 9, "test")

    def residual() -> torch.Tensor:
        total = 0
        for _ in range(20):
            z = sigma[:, None] * noise.draw([0], 200)
            total = total + (z * distance.gradient(rows, z)[1]).mean(1)
        return total / total.mean() - 1

    power = (residual() * residual()).mean()
    assert power < 4 * 2 * solution.gap.item()  # the gap in nats is a quarter of the residual's power
    assert solution.converged.all()


def test_scaling_a_feature_changes_nothing():
    """Coherency: a power of two is exact in floating point, and the noise is common."""
    network, inputs = small_network().float(), random(2, 1, 16, 16).float()
    scaled = solve(lambda x: network[:2](x) / 4, inputs, effort=Effort())
    plain = solve(network[:2], inputs, effort=Effort())
    assert torch.allclose(plain.log_sigma, scaled.log_sigma, atol=1e-4)
    assert torch.allclose(plain.distance, scaled.distance, rtol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_pixels_outside_the_receptive_field_are_capped(seed):
    """Whichever way the scale is corrected at the end, they stay at the cap."""
    weight, inputs = linear_problem()
    mask = torch.ones(64, dtype=torch.float64)
    mask[:16] = 0  # two rows that the layer does not look at
    solution = solve(lambda x: (x.flatten(1) * mask) @ weight.T, inputs, seed=seed)
    assert solution.capped_share.tolist() == [0.25, 0.25]
    assert solution.cap_matters.all()
    assert torch.equal(solution.log_sigma[:, :, :2], torch.full((2, 1, 2, 8), math.log(CAP), dtype=torch.float64))
    norms = (weight * mask).square().sum(0)[16:]
    exact = 0.5 * (ALPHA * TAU * norms.sum() / (48 * norms)).log().view(1, 1, 6, 8)
    assert_within_error(Solution(**{**vars(solution), "log_sigma": solution.log_sigma[:, :, 2:]}), exact)


def test_a_sample_does_not_depend_on_its_batch():
    network, inputs = small_network(), random(3, 1, 16, 16)
    effort = Effort(max_passes=1000)
    together = solve(network, inputs, effort=effort)
    for i in range(3):
        alone = solve(network, inputs[i : i + 1], effort=effort)
        for name, value in vars(alone).items():
            assert torch.allclose(getattr(together, name)[i : i + 1].double(), value.double(), rtol=1e-9), name


def test_nothing_depends_on_the_batch_size():
    network, inputs = small_network(), random(2, 1, 16, 16)
    results = [solve(network, inputs, effort=Effort(max_passes=600), batch_size=size) for size in (1, 7, 64)]
    for other in results[1:]:
        assert torch.allclose(results[0].log_sigma, other.log_sigma, rtol=1e-9)


def test_seeds_differ_within_the_reported_error_and_repeat_exactly():
    network, inputs = small_network(), random(2, 1, 16, 16)
    first, again, other = (solve(network, inputs, effort=Effort(), seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.log_sigma, again.log_sigma)
    difference = (first.log_sigma.mean((1, 2, 3)) - other.log_sigma.mean((1, 2, 3))).abs()
    assert (difference > 0).all()
    assert (difference < first.gap + other.gap + 3 * (first.distance_se + other.distance_se) / ALPHA).all()


def test_budget_is_kept_and_its_end_is_told():
    network, inputs = small_network(), random(2, 1, 16, 16)
    for budget in (MIN_PASSES, 700):
        solution = solve(network, inputs, effort=Effort(tolerance=1e-6, max_passes=budget))
        assert (solution.passes <= budget).all()
        assert not solution.converged.any()
        assert (solution.gap > 1e-6).all()


def test_stops_early_where_little_is_left():
    inputs = random(1, 1, 16, 16)
    loose = solve(small_network(), inputs, effort=Effort(tolerance=0.1))
    tight = solve(small_network(), inputs, effort=Effort(tolerance=0.005))
    assert (loose.passes < tight.passes).all()
    assert loose.converged.all() and tight.converged.all()


@pytest.mark.parametrize(
    ("feature", "words"),
    [
        (lambda x: x.flatten(1) * 0, "δ_f² = 0"),
        (lambda x: torch.ones(len(x), 4) + 0 * x.detach().sum(), "δ_f² = 0"),
        (lambda x: x.detach(), "no gradient"),
        (lambda x: x.flatten(1) * float("inf"), "not finite"),
    ],
)
def test_a_layer_that_cannot_be_measured(feature, words):
    with pytest.raises(InfodiscardError, match=words):
        solve(feature, random(1, 1, 8, 8).float(), effort=Effort())


def test_scaling_stops_for_each_sample_by_itself():
    """Samples whose search for the scale takes longer must not move those that have found theirs."""
    weight, _ = linear_problem()
    inputs = random(3, 1, 8, 8, seed=2) * torch.tensor([0.1, 1.0, 30.0], dtype=torch.float64).view(3, 1, 1, 1)

    def saturating(x: torch.Tensor) -> torch.Tensor:
        return (x.flatten(1) @ weight.T / 30).tanh()

    together = solve(saturating, inputs, effort=Effort(max_passes=600))
    for i in range(3):
        alone = solve(saturating, inputs[i : i + 1], effort=Effort(max_passes=600))
        assert torch.allclose(alone.log_sigma, together.log_sigma[i : i + 1], rtol=1e-9)
        assert alone.passes == together.passes[i]


def test_the_corrected_value_is_the_same_after_few_and_many_passes():
    """And nearer to the optimum than what few passes have reached."""
    network, inputs = small_network(3), random(6, 1, 16, 16)
    few = solve(network, inputs, effort=Effort(tolerance=1e-4, max_passes=150), seed=1)
    many = solve(network, inputs, effort=Effort(tolerance=1e-3, max_passes=20_000))
    value = many.log_sigma.mean((1, 2, 3)) + many.correction
    reached = few.log_sigma.mean((1, 2, 3))
    error = (few.correction_se.square() + many.correction_se.square()).sqrt()
    assert ((reached + few.correction - value).abs() < 3 * error).all()
    # What was reached at α, to compare with the optimum there.
    placed = reached - (few.distance / ALPHA).log() / 2
    assert (reached + few.correction - value).abs().mean() < 0.7 * (placed - value).abs().mean() + 0.01


def test_no_value_lies_below_the_small_noise_itself():
    """The uniform σ = √τ is within reach, whatever the search has met: here 1 in 4,000 draws outweighs all others."""

    def spiky(x: torch.Tensor) -> torch.Tensor:
        flat = x.flatten(1)
        return torch.cat([flat, 1e3 * (flat - 3.2).clamp(min=0)], 1)

    inputs = 2.5 * torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for seed in range(3):
        solution = solve(spiky, inputs, effort=Effort(max_passes=400), seed=seed)
        assert (solution.log_sigma.mean((1, 2, 3)) >= 0.5 * math.log(TAU)).all()


@pytest.mark.parametrize(
    ("seed", "uniform", "optimum"), [(0, -2.107, -1.902), (1, -2.108, -1.870), (2, -2.133, -1.918)]
)
def test_the_maximum_over_the_picture_is_found_at_once(seed, uniform, optimum):
    """Few pixels react in a step's draws, and those by a lot: the optimum is that of 2,400 passes."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        pool = nn.Sequential(nn.Conv2d(3, 6, 3), nn.AdaptiveMaxPool2d(1)).double().requires_grad_(False)
    inputs = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    solution = solve(pool, inputs, effort=Effort(max_passes=4000))
    noise = random(4000, 3, 8, 8, seed=5)
    clean = pool(inputs).flatten(1)

    def distance(sigma: torch.Tensor) -> float:
        return (pool(inputs + sigma * noise).flatten(1) - clean).square().sum(1).mean().item()

    small = distance(torch.tensor(math.sqrt(TAU), dtype=torch.float64))
    assert distance(solution.log_sigma.exp()) / small == pytest.approx(ALPHA, rel=0.1)
    found = solution.log_sigma.mean().item()
    assert found > (uniform + optimum) / 2 and solution.log_sigma.min() > -5
    error = 3 * solution.correction_se.item()
    assert solution.capped_share == 0 and found + solution.correction.item() == pytest.approx(optimum, abs=error + 0.02)
    assert error < 0.1


def test_what_has_converged_is_at_its_distance():
    """Of three inputs single draws of E differ by 70 %: a distance that is known to a tenth is not known."""
    weight = torch.tensor([[0.2, 1.0, 0.6], [0.1, 1.2, 0.5], [0.5, 0.7, 0.6]], dtype=torch.float64)
    inputs, target = random(16, 1, 1, 3), ALPHA * TAU * weight.square().sum()
    found = 0
    for effort in (Effort(tolerance=0.05, max_passes=400), Effort()):
        solution = solve(lambda x: x.flatten(1) @ weight.T, inputs, effort=effort)
        reached = (solution.log_sigma.mul(2).exp().flatten(1) * weight.square().sum(0)).sum(1) / target
        assert ((reached[solution.converged] - 1).abs() < 0.08).all()
        found += int(solution.converged.sum())
    assert found >= 16  # with the default effort nearly all


@pytest.mark.parametrize(("gain", "place"), [(20.0, 0.45), (20.0, 0.55)])
def test_a_feature_that_seldom_reacts_has_a_value(gain, place):
    """Saturated as it is, the small noise moves it in a tenth of the draws: none of the first ones, perhaps."""
    inputs = torch.full((8, 1, 1, 1), place) + 1e-4 * torch.arange(8.0).view(-1, 1, 1, 1)  # other noise for each
    solution = solve(lambda x: torch.tanh(gain * x).flatten(1), inputs, effort=Effort(max_passes=400))
    assert solution.log_sigma.isfinite().all() and solution.distance.isfinite().all()
    assert (solution.log_sigma.flatten() >= 0.5 * math.log(TAU) - 1e-6).all()


def test_a_step_without_a_reaction_leaves_numbers():
    """Dead but for one small noise in ten: without one among the first draws, nothing is known of any parameter."""
    inputs = 1e-4 * torch.arange(64.0).view(-1, 1, 1, 1)
    solution = solve(lambda x: torch.relu(x.flatten(1) - 0.13), inputs, effort=Effort(max_passes=200), alpha=0.5)
    assert solution.log_sigma.isfinite().all() and solution.distance.isfinite().all()


@pytest.mark.parametrize("gain", [0.05, 0.1, 0.15])
def test_an_input_that_saturates_is_left_to_the_cap(gain):
    """Beyond a stretch in which E still grows with its σ, E stays as it is: no ascent leads there."""

    def feature(x: torch.Tensor) -> torch.Tensor:
        flat = x.flatten(1)
        return torch.cat([gain * torch.tanh(3 * flat[:, :1]), flat[:, 1:]], 1)

    solution = solve(feature, torch.zeros(2, 1, 1, 4, dtype=torch.float64), effort=Effort(max_passes=3000))
    noise = random(200_000, seed=5)
    target = ALPHA * ((gain * torch.tanh(0.3 * noise)).square().mean() + 3 * TAU)
    rest = target - (gain * torch.tanh(3 * CAP * noise)).square().mean()
    best = (math.log(CAP) + 1.5 * math.log(rest / 3)) / 4  # the others share what the first leaves of E
    found = solution.log_sigma.mean((1, 2, 3)) + solution.correction
    assert ((found - best).abs() <= 3 * solution.correction_se + 0.01).all()
    assert (solution.log_sigma[..., 0] == math.log(CAP)).all()


@pytest.mark.parametrize("alpha", [0.9, 0.5, 0.05])
def test_a_distance_below_that_of_the_small_noise(alpha):
    inputs = random(6, 1, 1, 16)
    solution = solve(lambda x: x.flatten(1) * torch.linspace(0.5, 2, 16), inputs, alpha=alpha)
    exact = linear_sigma(torch.linspace(0.5, 2, 16, dtype=torch.float64).diag(), alpha, TAU).log().mean()
    assert ((solution.distance / alpha - 1).abs() < 0.05).all() and solution.converged.all()
    assert ((solution.log_sigma.mean((1, 2, 3)) + solution.correction - exact).abs() < 0.02).all()


def test_a_feature_that_moves_by_its_rounding_alone_is_constant():
    inputs = random(3, 1, 1, 6).float()
    inputs[1] *= 1e4
    with pytest.raises(SampleError) as error:
        solve(lambda x: 1e4 + 1e-4 * x.flatten(1), inputs, effort=Effort(max_passes=200))
    assert error.value.reason == "feature_constant"


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e9, 1e30])
def test_no_square_leaves_the_range_of_single_precision(scale):
    weight, inputs = (value.float() for value in linear_problem())
    plain = solve(lambda x: x.flatten(1) @ weight.T, inputs, effort=Effort(max_passes=400))
    scaled = solve(lambda x: x.flatten(1) @ (scale * weight).T, inputs, effort=Effort(max_passes=400))
    torch.testing.assert_close(scaled.log_sigma, plain.log_sigma, atol=2e-3, rtol=0)
    torch.testing.assert_close(scaled.distance, plain.distance, rtol=1e-3, atol=0)


def test_half_precision_with_small_weights():
    weight, inputs = (value.float() for value in linear_problem())
    half = (1e-4 * weight).half()
    solution = solve(lambda x: x.half().flatten(1) @ half.T, inputs, effort=Effort(max_passes=400), cap=1e3)
    exact = linear_sigma(weight, ALPHA, TAU).log().mean()
    error = (solution.log_sigma.mean((1, 2, 3)) + solution.correction - exact).abs()
    assert (error < 3 * solution.correction_se + 0.01).all()


class Straight(torch.autograd.Function):
    """Clips, and says in the backward pass that it does not: as quantisers do."""

    @staticmethod
    def forward(ctx, x):
        return x.clamp(-0.5, 0.5)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


@pytest.mark.parametrize(("clip", "known"), [(Straight.apply, False), (lambda x: x.clamp(-0.5, 0.5), True)])
def test_a_gradient_that_is_not_the_derivative_gives_no_value(clip, known):
    gains = torch.linspace(0.2, 8, 16, dtype=torch.float64)
    solution = solve(lambda x: clip(gains * x.flatten(1)), torch.zeros(1, 1, 4, 4).double(), effort=Effort(), cap=3.0)
    assert solution.correction.isfinite() == known and solution.gap.isfinite() == known
    assert known or not solution.converged


def test_views_of_what_convolutions_return():
    """Their memory is arranged otherwise where that is faster; a network that relies on the usual order still works."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        conv = nn.Conv2d(3, 4, 3).requires_grad_(False)
    inputs = random(2, 3, 8, 8).float()
    effort = Effort(max_passes=200)
    viewed = solve(lambda x: (y := conv(x)).view(len(y), -1), inputs, effort=effort)
    reshaped = solve(lambda x: conv(x).flatten(1), inputs, effort=effort)
    torch.testing.assert_close(viewed.log_sigma, reshaped.log_sigma, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("small", [0.1, 0.03, 0.003])
def test_an_input_that_is_felt_weakly_among_others(small):
    """Its g is all noise beside those of inputs that the same features feel: the gradient's size alone knows its σ."""
    weight = random(6, 8, seed=1)
    weight[:, 0] *= small
    solution = solve(lambda x: x.flatten(1) @ weight.T, random(4, 1, 1, 8), effort=Effort(max_passes=3000), cap=1e3)
    found = solution.log_sigma.mean((1, 2, 3)) + solution.correction
    exact = linear_sigma(weight, ALPHA, TAU).log().mean()
    assert ((found - exact).abs() <= 3 * solution.correction_se + 0.01).all()
    assert (solution.correction_se < 0.06).all()
    assert (found - exact).abs().mean() < 0.03


def test_a_scaling_by_a_power_that_is_not_known_is_not_trusted():
    """Rounded to thirds, straight through: E grows with a power of 2.2, the gradients say 1.4 within their noise."""
    inputs = 1e-5 * torch.arange(48.0).view(-1, 1, 1, 1).expand(48, 1, 5, 4).contiguous()
    effort = Effort(tolerance=0.02, max_passes=400)
    solution = solve(lambda x: x + ((3 * x).round() / 3 - x).detach(), inputs, sigma="grid:1", effort=effort)
    sigma = solution.log_sigma.exp().expand(-1, 1, 5, 4)
    noise = torch.randn(4000, 1, 5, 4, generator=torch.Generator().manual_seed(0))
    small = ((3 * 0.1 * noise).round() / 3).square().sum((1, 2, 3)).mean()
    reached = torch.stack([((3 * each * noise).round() / 3).square().sum((1, 2, 3)).mean() for each in sigma]) / small
    assert ((reached[solution.converged] / ALPHA - 1).abs() < 0.1).all()
