"""Predictor-guided sampling of a conditional autoencoder, as the paper's FTCP and CDVAE rows.

Latents are drawn from the prior, conditioned on the targets, and descend the same predictor's
gradient of the same losses through the decoder's soft crystals; each step is a predictor call.
Every few steps the crystals are made discrete and evaluated. Neutral by construction, as all
filtered rivals: among the combinations of charges the most probable one that the decoder's elements
allow.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.rivals.perovskite_vae import LATENT, N_SITES, SITES, Generator, Soft, Vae
from benchmarks.rivals.space import Proposals, Space
from smoacs.crystals import Crystals
from smoacs.evaluation import Evaluator
from smoacs.search.gradient.objective import Objective, pulled_back
from smoacs.targets import Target, Targets

LATENTS = 64
GRADIENT_STEPS = 3
"""Steps between two discrete crystals of a latent."""

LEARNING_RATE = 0.1
ROUNDS = 8
"""Discrete crystals of a latent after which it is drawn anew; one that succeeds goes at once."""

COOLING = 0.5
"""Factor of the softmax temperature from round to round, from 1."""

PRIOR_WEIGHT = 0.005
NEUTRALITY_WEIGHT = 0.1
INNER = 0.5
"""How far inside the windows losses aim, as in our gradient search."""

TRIES = 20
"""Draws of a latent's elements that may be known already, or not fit by their radii."""

REDRAWS = 4
"""Sets of latents of which none gives anything new, after which nothing is left."""

TOP_SHARE = 0.01
"""Of the training crystals, from which conditions of an extreme are drawn."""

WORST_LENGTH = 2.0
"""Å; what a decoder says below it is taken for it."""


class Generative:
    """Latents that descend, are decoded, and are drawn anew."""

    def __init__(
        self, space: Space, generator: Generator, *, seed: int, relaxes: bool = False
    ) -> None:
        """Take where to search, and the trained autoencoder.

        Args:
            space: Of the perovskite template.
            generator: Trained on perovskites.
            seed: Of latents, conditions and draws.
            relaxes: Whether discrete crystals are relaxed before they are judged.
        """
        self.relaxes = relaxes
        self.space = space
        self.vae: Vae = generator.vae
        self._labels = generator.labels
        self._generator = torch.Generator().manual_seed(seed)
        self._rng = np.random.default_rng(seed)
        template = space.templates[0]
        known = torch.as_tensor(space.known)
        self._allowed = torch.tensor(template.allowed) & known
        self._seen: set[bytes] = set()
        self._latents = torch.zeros(LATENTS, LATENT)
        self._ages = torch.zeros(LATENTS, dtype=torch.int64)
        self._conditions = torch.zeros(LATENTS, 2 * self._labels.shape[1])
        self._shown = torch.zeros(0, dtype=torch.int64)
        self._redraw(torch.arange(LATENTS))

    def propose(self, most: int) -> Proposals:
        """Descend for some steps, as calls allow, and decode."""
        self._descend(min(GRADIENT_STEPS, most // LATENTS - 1))
        for _ in range(REDRAWS):
            proposals = self._decoded()
            if len(proposals):
                break
            self._redraw(torch.arange(LATENTS))
        self._shown = self._shown[:most]
        return proposals.select(np.arange(min(most, len(proposals))))

    def observe(self, proposals: Proposals, losses: NDArray[np.float64]) -> None:
        """Draw anew what succeeded, what could not be decoded, and what is old."""
        del proposals
        self._ages += 1
        done = torch.ones(LATENTS, dtype=torch.bool)
        done[self._shown] = torch.as_tensor(losses) <= 0
        self._redraw(torch.nonzero(done | (self._ages >= ROUNDS)).flatten())

    def _redraw(self, rows: Tensor) -> None:
        self._latents[rows] = torch.randn(len(rows), LATENT, generator=self._generator)
        self._ages[rows] = 0
        self._conditions[rows] = self._drawn_conditions(len(rows))

    def _drawn_conditions(self, n: int) -> Tensor:
        """Values of the targets' properties that training crystals have and that meet them."""
        values = torch.zeros(n, self._labels.shape[1])
        known = torch.zeros_like(values, dtype=torch.bool)
        for target in self.space.targets:
            if target.property not in self.vae.properties:
                continue
            column = self.vae.properties.index(target.property)
            pool = _pool(target, self._labels[:, column])
            index = torch.randint(len(pool), (n,), generator=self._generator)
            values[:, column], known[:, column] = pool[index], True
        return self.vae.condition(values, known)

    def _descend(self, steps: int) -> None:
        """Some steps of all latents down the losses."""
        latents = self._latents.clone().requires_grad_()
        adam = torch.optim.Adam([latents], lr=LEARNING_RATE)
        targets = Targets(tuple(self.space.targets))
        with Evaluator(self.space.predictor, targets.properties) as evaluator:
            objective = Objective(evaluator, targets)
            for _ in range(steps):
                adam.zero_grad()
                crystals, chance = self._soft_crystals(self.vae.decode(latents, self._conditions))
                own = PRIOR_WEIGHT * latents.square().sum()
                own = own - NEUTRALITY_WEIGHT * chance.log().sum()
                (own_grad,) = torch.autograd.grad(own, latents, retain_graph=True)
                slopes = objective(crystals, lambda t, values: t.loss(values, inner=INNER))
                pulled = pulled_back(crystals, slopes, {"latents": latents})["latents"]
                latents.grad = own_grad + pulled
                adam.step()
        self._latents = latents.detach().nan_to_num()

    def _soft_crystals(self, soft: Soft) -> tuple[Crystals, Tensor]:
        """Crystals with weights over elements, and the probability that each is neutral, [B]."""
        template = self.space.templates[0]
        heat = COOLING ** self._ages[:, None, None].float()
        probs = (soft.logits / heat).softmax(2)
        allowed = self._allowed.float()
        at_site = torch.einsum("bne,kne->bkn", probs, allowed).clamp(min=1e-9)
        combined = at_site.prod(2)
        weights = combined / combined.sum(1, keepdim=True)
        table = torch.tensor(np.asarray(template.radii)).float()
        radii = torch.einsum("bne,kne->bkn", probs, allowed * table) / at_site
        n = len(probs)
        return Crystals(
            species_probs=probs.flatten(0, 1),
            frac_coords=(torch.as_tensor(SITES).float() + soft.shifts).flatten(0, 1),
            cell=soft.lengths.clamp(min=WORST_LENGTH)[:, None, None] * torch.eye(3),
            system_idx=torch.arange(n).repeat_interleave(N_SITES),
            ionic_radii=torch.einsum("bk,bkn->bn", weights, radii).flatten(),
            site_roles=torch.as_tensor(np.tile(template.roles, n)).long(),
        ), combined.sum(1).clamp(min=1e-12)

    def _decoded(self) -> Proposals:
        """One discrete crystal of each latent, none a second time; without those that fail."""
        with torch.no_grad():
            soft = self.vae.decode(self._latents, self._conditions)
            logits = soft.logits - soft.logits.logsumexp(2, keepdim=True)
        wanted = list(range(LATENTS))
        found: dict[int, Proposals] = {}
        for attempt in range(TRIES):
            drawn = self._discrete(logits, soft, wanted, likely=attempt == 0)
            if not drawn:
                break
            fits = self.space.promising(Proposals.join(list(drawn.values())))
            for (k, proposal), fit in zip(drawn.items(), fits, strict=True):
                key = proposal.combination.tobytes() + proposal.elements[0].tobytes()
                if fit and key not in self._seen:
                    self._seen.add(key)
                    found[k] = proposal
            wanted = [k for k in drawn if k not in found]
        self._shown = torch.tensor(sorted(found), dtype=torch.int64)
        if not found:
            return self.space.random(self._rng, 0).select([])
        return Proposals.join([found[k] for k in sorted(found)])

    def _discrete(
        self, logits: Tensor, soft: Soft, rows: list[int], *, likely: bool
    ) -> dict[int, Proposals]:
        """Elements under a combination: the most probable, or drawn by their probabilities.

        A latent whose elements no combination of charges allows is left out.
        """
        masked = logits[rows][:, None].masked_fill(~self._allowed, -torch.inf)  # [b, K, n, E]
        chances = masked.logsumexp(3).sum(2)
        possible = chances.isfinite().any(1)
        if not likely:
            masked = masked + _gumbel(masked.shape, self._generator)
            chances = chances + _gumbel(chances.shape, self._generator)
        combination = chances.argmax(1)
        elements = masked[torch.arange(len(rows)), combination].argmax(2).numpy()
        angles = self.space.templates[0].angles
        found = {}
        for place in torch.nonzero(possible).flatten().tolist():
            row = rows[place]
            shifts = soft.shifts[row].flatten().double().numpy()
            variables = np.concatenate([np.full(3, float(soft.lengths[row])), angles, shifts])
            found[row] = self.space.proposal(0, int(combination[place]), elements[place], variables)
        return found


def _pool(target: Target, labels: Tensor) -> Tensor:
    """Labels that meet a target; of an extreme the best; where none do, the nearest of them."""
    if not target.direction and target.met(labels).any():
        return labels[target.met(labels)]
    size = max(1, round(TOP_SHARE * len(labels)))
    return labels[target.loss(labels).argsort()[:size]]


def _gumbel(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    uniform = torch.rand(shape, generator=generator).clamp(1e-12, 1 - 1e-7)
    return -(-uniform.log()).log()
