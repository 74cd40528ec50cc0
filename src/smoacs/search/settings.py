"""How the optimiser works: one frozen set of numbers per preset."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class GeometrySettings:
    """Adam for lattice and coordinates, beyond the learning rates.

    Where geometry follows the energy, gradients have a meaning: with an epsilon of the size of a
    small force, steps fade out towards the minimum, and noise is not scaled up to full steps.

    Attributes:
        coords_epsilon: Of fractional coordinates.
        beta2: Decay of the mean square gradient.
    """

    coords_epsilon: float = 1e-8
    beta2: float = 0.999


@dataclass(frozen=True, kw_only=True)
class AnnealSettings:
    """The gradient stage on soft crystals.

    Attributes:
        learning_rate_lattice: For lengths (over the longest starting length) and scaled angles.
        learning_rate_coords: For fractional coordinates.
        learning_rate_scores: For scores of elements and combinations.
        temperature_start: Softmax temperature at the first step.
        temperature_end: Softmax temperature at the last step.
        geometric: Whether the temperature falls by a constant factor, not by a constant amount.
        second_softmax: Whether the mixture over combinations is sharpened by a further softmax.
        score_noise: Standard deviation of the random part of the starting element scores.
        combination_noise: The same for the combination scores.
        inner: How far inside their windows targets pull (see `Target.loss`); None takes the
            losses of the paper.
        geometry: How Adam treats lattice and coordinates.
    """

    learning_rate_lattice: float
    learning_rate_coords: float
    learning_rate_scores: float
    temperature_start: float
    temperature_end: float
    geometric: bool
    second_softmax: bool
    score_noise: float
    combination_noise: float
    inner: float | None
    geometry: GeometrySettings = GeometrySettings()


@dataclass(frozen=True, kw_only=True)
class CopyMutateSettings:
    """The paper's population step: bad candidates become noisy copies of good ones.

    Attributes:
        steps: Optimisation steps before which it happens.
        noise: Standard deviation of the noise on the copies' variables.
        top_share: Share of the candidates that fail which stay because they are best.
        keep_share: Share of the others that stay all the same.
    """

    steps: tuple[int, ...]
    noise: float
    top_share: float
    keep_share: float


@dataclass(frozen=True, kw_only=True)
class FinishSettings:
    """The discrete stage: elements frozen, geometry polished, single sites swapped.

    Attributes:
        share: Share of all steps that belong to this stage.
        learning_rate_lattice: As in the gradient stage.
        learning_rate_coords: As in the gradient stage.
        polish_steps: Steps between two swaps of a candidate.
        swap_temperature: Swaps are drawn with weight exp(-(estimated change of loss) / this).
        patience: Swaps in a row without gain after which a failing candidate becomes a copy of a
            success.
        inner: How far inside their windows targets pull.
        geometry: How Adam treats lattice and coordinates.
    """

    share: float
    learning_rate_lattice: float
    learning_rate_coords: float
    polish_steps: int
    swap_temperature: float
    patience: int
    inner: float
    geometry: GeometrySettings = GeometrySettings()


@dataclass(frozen=True, kw_only=True)
class OptimiserSettings:
    """A preset: the stages and their numbers; a stage that is None is left out."""

    anneal: AnnealSettings
    copy_mutate: CopyMutateSettings | None = None
    finish: FinishSettings | None = None


PAPER = OptimiserSettings(
    anneal=AnnealSettings(
        learning_rate_lattice=2e-3,
        learning_rate_coords=5e-3,
        learning_rate_scores=7e-3,
        temperature_start=0.01,
        temperature_end=0.0001,
        geometric=False,
        second_softmax=True,
        score_noise=0.0,
        combination_noise=0.0,
        inner=None,
    ),
    copy_mutate=CopyMutateSettings(steps=(100, 150), noise=7e-5, top_share=0.10, keep_share=0.05),
)
"""arXiv:2410.08562, settings of the perovskite task with Crystalformer, whose graph is also rebuilt
at every step."""

_FINISH = FinishSettings(
    share=0.6,
    learning_rate_lattice=0.01,
    learning_rate_coords=0.003,
    polish_steps=8,
    swap_temperature=0.1,
    patience=4,
    inner=0.5,
)

DEFAULT = OptimiserSettings(
    anneal=AnnealSettings(
        learning_rate_lattice=0.02,
        learning_rate_coords=0.005,
        learning_rate_scores=0.1,
        temperature_start=1.0,
        temperature_end=0.05,
        geometric=True,
        second_softmax=False,
        score_noise=0.5,
        combination_noise=0.5,
        inner=0.5,
    ),
    finish=_FINISH,
)
"""The best that was found; see docs/optimiser.md."""

_ENERGY_GEOMETRY = GeometrySettings(coords_epsilon=0.2, beta2=0.9)

AT_REST = replace(
    DEFAULT,
    anneal=replace(DEFAULT.anneal, geometry=_ENERGY_GEOMETRY),
    finish=replace(_FINISH, inner=0.3, geometry=_ENERGY_GEOMETRY),
)
"""As DEFAULT, for designs at rest: Adam's epsilon for coordinates has the size of a small force."""

PRESETS = {"default": DEFAULT, "paper": PAPER}
