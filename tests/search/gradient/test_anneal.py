from itertools import pairwise

import pytest
import torch

from smoacs.crystals import Candidates, DesignSpace
from smoacs.evaluation import Evaluator
from smoacs.search.gradient.anneal import anneal, cosine, temperature
from smoacs.search.gradient.objective import Objective
from smoacs.search.progress import Recorder
from smoacs.search.settings import DEFAULT, PAPER, CopyMutateSettings
from smoacs.targets import Targets
from smoacs.templates import perovskite
from toys import Bowl

TOY = Targets.of(["0 <= toy <= 0.5"])


def test_papers_temperature_falls_linearly():
    values = [temperature(PAPER.anneal, step, 200) for step in range(200)]
    assert values[0] == 0.01
    assert values[-1] == pytest.approx(1e-4)
    steps = [a - b for a, b in pairwise(values)]
    assert steps == pytest.approx([0.0099 / 199] * 199)


def test_default_temperature_falls_by_a_factor():
    values = [temperature(DEFAULT.anneal, step, 50) for step in range(50)]
    assert values[0] == DEFAULT.anneal.temperature_start
    assert values[-1] == pytest.approx(DEFAULT.anneal.temperature_end)
    factors = [b / a for a, b in pairwise(values)]
    assert factors == pytest.approx([factors[0]] * 49)


def test_single_step_is_at_the_starting_temperature():
    assert temperature(DEFAULT.anneal, 0, 1) == DEFAULT.anneal.temperature_start


def test_cosine():
    assert cosine(0, 10) == 1
    assert cosine(5, 10) == pytest.approx(0.5)
    assert cosine(10, 10) == pytest.approx(0)
    assert cosine(0, 0) == 1


def annealed(settings, copy_mutate=None, *, steps=30, seed=0):
    generator = torch.Generator().manual_seed(seed)
    space = DesignSpace.from_templates([perovskite()] * 8)
    noise = {
        "score_noise": settings.score_noise,
        "combination_noise": settings.combination_noise,
    }
    soft = Candidates.start(space, generator, **noise)
    recorder = Recorder(steps)
    with Evaluator(Bowl(), TOY.properties) as evaluator:
        anneal(
            soft,
            Objective(evaluator, TOY),
            settings,
            copy_mutate=copy_mutate,
            steps=steps,
            generator=generator,
            recorder=recorder,
        )
    return soft, recorder.table()


def test_descends():
    _, history = annealed(DEFAULT.anneal)
    by_step = history.groupby("step")["toy"].mean()
    assert len(by_step) == 30
    assert by_step.iloc[-1] < 0.6 * by_step.iloc[0]


def test_stays_within_bounds():
    soft, _ = annealed(DEFAULT.anneal)
    lengths = soft.lengths
    assert lengths.min() >= 2 - 1e-5
    assert lengths.max() <= 10 + 1e-5
    assert soft.displacements.abs().max() <= 0.15


def test_copies_are_made_at_the_set_steps():
    copy_mutate = CopyMutateSettings(steps=(6, 12), noise=1e-5, top_share=0.2, keep_share=0.0)
    soft, history = annealed(PAPER.anneal, copy_mutate, steps=16)
    assert history["toy"].notna().all()
    spread = history.groupby("step")["toy"].std()
    assert spread[7] < 0.8 * spread[6]  # most have become copies of a few
    assert soft.lengths.isfinite().all()


def test_broken_candidates_come_back_as_copies():
    class Fragile(Bowl):
        """Breaks where an axis is longer than 6 Å."""

        def __call__(self, crystals, neighbors):
            toy = super().__call__(crystals, neighbors)["toy"]
            longest = crystals.cell.norm(dim=2).amax(1)
            return {"toy": toy.where(longest < 6, torch.nan)}

    generator = torch.Generator().manual_seed(0)
    space = DesignSpace.from_templates([perovskite()] * 40)
    soft = Candidates.start(space, generator)
    copy_mutate = CopyMutateSettings(steps=(2,), noise=1e-5, top_share=0.5, keep_share=0.0)
    recorder = Recorder(4)
    with Evaluator(Fragile(), TOY.properties) as evaluator:
        anneal(
            soft,
            Objective(evaluator, TOY),
            PAPER.anneal,
            copy_mutate=copy_mutate,
            steps=4,
            generator=generator,
            recorder=recorder,
        )
    history = recorder.table()
    broken = history["toy"].isna().groupby(history["step"]).sum()
    assert broken[1] > 20
    assert broken[4] == 0
    assert soft.lengths.isfinite().all()
