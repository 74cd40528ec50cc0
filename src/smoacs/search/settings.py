"""How a search works: frozen sets of numbers, one for each stage, and the presets."""

from dataclasses import dataclass, field, replace

from smoacs.request import DesignConfig


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
        learning_rate_lattice: For lengths (over the longest starting length) and angles (over what
            they may span).
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
class DiscreteSettings:
    """The discrete stage: real crystals settle or are polished, elements are swapped.

    Attributes:
        share: Share of all steps that belong to this stage.
        learning_rate_lattice: As in the gradient stage, of crystals that are polished.
        learning_rate_coords: Likewise.
        polish_steps: Steps of the trial of a crystal that is polished.
        swap_temperature: Swaps are drawn with weight exp(-(estimated change of loss) / this).
        sites_per_swap: A cell of so many sites has one of them swapped at a time, larger ones in
            proportion.
        patience: Trials in a row without gain after which a failing candidate becomes a copy of a
            success.
        inner: How far inside their windows targets pull.
        geometry: How Adam treats lattice and coordinates of crystals that are polished.
        first_calls: Predictor calls in which a candidate's first crystal may settle.
        trial_calls: The same after a swap, from a crystal that was at rest.
        leap: Loss by which a trial may be worse than its candidate's best crystal in its first
            step; it keeps nearly the properties that it starts with.
        pace: Steps like its last one after which a trial that still misses is given up.
        settled: Share of the pressure and force that a crystal at rest may have; below it a trial
            is over.
        unrest: Loss for each time that pressure or force exceed half of what a crystal at rest may
            have.
    """

    share: float
    learning_rate_lattice: float
    learning_rate_coords: float
    polish_steps: int
    swap_temperature: float
    patience: int
    inner: float
    sites_per_swap: int = 7
    geometry: GeometrySettings = GeometrySettings()
    first_calls: int = 60
    trial_calls: int = 30
    leap: float = 0.3
    pace: float = 4.0
    settled: float = 0.8
    unrest: float = 0.1


@dataclass(frozen=True, kw_only=True)
class ExhaustiveSettings:
    """The search through all compositions.

    Attributes:
        first: Decorations, drawn at random, that the search learns from first.
        round: Fewest decorations of a round, after which it learns again. Later rounds have one for
            eight that are known.
        least: Decorations that are worth a round where little is missing or little is left of the
            budget.
        learnt: Decorations from which is learnt; the guesses of later ones stay as they are.
        atoms_together: Atoms of the crystals that are relaxed at the same time.
        spare: Factor on the calls that decorations took so far, so that no budget is exceeded.
        stale: Decorations without a success after which an unfinished search may end before its
            budget, if these are more than half of all so far.
        little_hope: Successes that the others must promise for it to go on all the same.
        watched: First steps of a relaxation after which a decoration may be given up. Later ones
            save little.
        nearest: Decorations, those nearest to a bound at rest, that show how far a value may still
            move.
        safety: Factor on the longest way that any of them went.
        unfinished: Times the budget that going through all compositions may take if a run is to go
            through the most promising ones only.
        unfinished_ordered: The same for ordered compounds, whose choices are few and tell much of
            each other: 32 double perovskites took the most promising ones 2,079 calls, gradients
            3,488.
        worthwhile: Times the calls of the first decorations that a budget must have for an
            unfinished search. With less gradients are ahead: 8 perovskites took them 728 calls,
            against 1,018; 32 took 3,104, against 1,300.
        fillings_per_call: Fillings of the sites, for each predictor call of the budget, up to which
            they are enumerated for an unfinished search. That takes less time than the calls.
    """

    first: int = 100
    round: int = 64
    least: int = 16
    learnt: int = 2_000
    atoms_together: int = 4_000
    spare: float = 1.5
    stale: int = 256
    little_hope: float = 0.5
    watched: int = 2
    nearest: int = 100
    safety: float = 1.5
    unfinished: int = 32
    unfinished_ordered: int = 2_000
    worthwhile: int = 3
    fillings_per_call: int = 200


@dataclass(frozen=True, kw_only=True)
class SettlingSettings:
    """The search for designs at a minimum, beside the search for their parents.

    Attributes:
        budget: Crystals that are let go at most, for each design asked for.
        least: Crystals that are let go at most where fewer designs are asked for.
        pool: Parents that an exhaustive search hands over at most, for each design asked for.
        least_pool: The same where fewer designs are asked for.
        searched: Atoms that the candidates of a search for parents have together at least: fewer
            than make 64 perovskites show too little, and cost less than to let one crystal go.
        round: Most crystals let go at a time.
        smallest: The fewest, as long as there are so many.
        patience: Crystals in a row without success after which it is asked whether to go on.
        little_hope: Successes to be expected of all parents left, below which it ends then.
        waves: Most searches by gradients, each for parents that settling is expected to bring to
            the targets by what is known of it.
        wave_calls: Predictor calls of all waves together, for each that the first may have.
        poorest: Share of the settled crystals that succeed which the next wave counts on at least.
        wave_steps: Fewest steps of a wave.
    """

    budget: int = 4
    least: int = 32
    pool: int = 16
    least_pool: int = 1_000
    searched: int = 320
    round: int = 32
    smallest: int = 8
    patience: int = 32
    little_hope: float = 0.5
    waves: int = 4
    wave_calls: int = 2
    poorest: float = 0.2
    wave_steps: int = 20


@dataclass(frozen=True, kw_only=True)
class OptimiserSettings:
    """The stages of a search and their numbers; a stage that is None is left out."""

    anneal: AnnealSettings
    copy_mutate: CopyMutateSettings | None = None
    discrete: DiscreteSettings | None = None
    exhaustive: ExhaustiveSettings = field(default_factory=ExhaustiveSettings)
    settling: SettlingSettings = field(default_factory=SettlingSettings)


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

_DISCRETE = DiscreteSettings(
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
    discrete=_DISCRETE,
)
"""The best that was found; see docs/optimiser.md."""

_ENERGY_GEOMETRY = GeometrySettings(coords_epsilon=0.2, beta2=0.9)

AT_REST = replace(
    DEFAULT,
    anneal=replace(DEFAULT.anneal, geometry=_ENERGY_GEOMETRY),
    discrete=replace(_DISCRETE, inner=0.3),
)
"""As DEFAULT, for designs at rest: Adam's epsilon for coordinates has the size of a small force."""


def settings_of(config: DesignConfig) -> OptimiserSettings:
    """The preset that a config asks for, with `rest` decided."""
    if config.rests:
        return AT_REST
    return PAPER if config.preset == "paper" else DEFAULT
