"""CHGNet as a predictor (extra `chgnet`): energy, and the formation energy that follows from it.

CHGNet 0.3.0 (B. Deng et al., Nature Machine Intelligence 5, 1031 (2023); the weights are in its
PyPI wheel) is a potential for all elements up to plutonium, trained on relaxation trajectories of
the Materials Project. Soft species enter as mixtures of its element embeddings and of its element
energies; a real crystal gets CHGNet's own number.

`energy` is the total energy with the Materials Project's corrections of 2020. `formation_energy`
subtracts one energy per element, fitted by scripts/fit_chgnet_references.py to the relaxed crystals
that our built-in predictor is trained on: it is on the scale of the Materials Project of June 2018.
`chgnet_references.json` holds these energies, how many crystals each rests on, and the error.

    smoacs design --predictor chgnet --target "formation_energy < -0.5"
"""

import io
import json
from collections.abc import Mapping
from contextlib import redirect_stdout
from importlib.resources import files
from typing import Any

import torch
from torch import Tensor, nn

from smoacs.chemistry import element_index
from smoacs.crystals import Crystals, NeighborList
from smoacs.errors import MissingExtraError
from smoacs.predictors.adapters import count_work, evaluate_in_chunks, loosen
from smoacs.predictors.properties import PROPERTIES

MODEL = "0.3.0"

WORK_PER_CHUNK = 8_000
"""Edges and angles evaluated together, those of about 8 perovskites: fewer waste time in Python,
more do not fit the caches."""

SMOOTHING = 1e-6
"""Å², added to squared distances, so that atoms on one spot have finite gradients."""


class ChgnetPredictor:
    """CHGNet's energies, differentiable (once) in species, positions and cell.

    Crystals denser than any real one (`smoacs.predictors.adapters.DENSE`) are stretched to a
    density that CHGNet can be asked about, and repel.
    """

    scales: Mapping[str, str] = dict.fromkeys(
        ("energy", "formation_energy"),
        "PBE and PBE+U, corrected as in the Materials Project of 2020 (CHGNet 0.3.0)",
    )
    properties: Mapping[str, str] = {
        name: PROPERTIES[name].unit for name in ("energy", "formation_energy")
    }

    def __init__(self, model: Any, references: Mapping[str, float]) -> None:  # noqa: ANN401
        """Take a CHGNet, whose element embedding is replaced, and its elements' energies (eV)."""
        weight = model.atom_embedding.embedding.weight
        self._model = model.eval().requires_grad_(requires_grad=False)
        self._model.atom_embedding = SoftEmbedding(weight)
        self._n_elements = len(weight)
        self._device = weight.device
        self._bond_cutoff = float(model.graph_converter.bond_graph_cutoff)
        self.cutoff = float(model.graph_converter.atom_graph_cutoff)
        self.elements = frozenset(references)
        self.references = dict(references)
        self._references = torch.zeros(self._n_elements, device=self._device)
        for symbol, energy in references.items():
            self._references[element_index(symbol)] = energy

    def __call__(self, crystals: Crystals, neighbors: NeighborList) -> dict[str, Tensor]:
        """Return both energies, each [B], eV/atom, in single precision."""
        crystals = crystals.to(self._device)
        loose, repulsion = loosen(crystals)
        work = count_work(loose, neighbors, self.cutoff, self._bond_cutoff)
        bonding = evaluate_in_chunks(
            self._bonding, loose, neighbors, work=work, work_per_chunk=WORK_PER_CHUNK
        )
        composition = self._composition(crystals)
        own = self._model.composition_model.fc(composition).squeeze(1)
        energy = bonding + repulsion.to(bonding) + own
        return {"energy": energy, "formation_energy": energy - composition @ self._references}

    def _composition(self, crystals: Crystals) -> Tensor:
        """Share of each of CHGNet's elements, [B, elements]."""
        species = crystals.species_probs[:, : self._n_elements].float()
        zeros = species.new_zeros(crystals.n_systems, self._n_elements)
        return zeros.index_add(0, crystals.system_idx, species) / crystals.counts[:, None]

    def _bonding(self, crystals: Crystals, neighbors: NeighborList) -> Tensor:
        """Energy apart from the elements' own, eV/atom, [B]."""
        energy: Tensor = self._model._compute(self._graph(crystals, neighbors))["e"]  # noqa: SLF001
        return energy

    def _graph(self, crystals: Crystals, neighbors: NeighborList) -> Any:  # noqa: ANN401
        """The graph that CHGNet's converter would make, from our neighbours.

        Undirected bonds k = 0 ... M - 1 are our edges. Directed bonds k and M + k run from their
        first and from their second atom.
        """
        from chgnet.model.model import BatchedGraph  # noqa: PLC0415  (an extra)

        vectors = neighbors.vectors(crystals)
        length = torch.sqrt((vectors**2).sum(1) + SMOOTHING)
        near = torch.nonzero(length < self.cutoff).flatten()
        vectors, length = vectors[near], length[near]
        i, j = neighbors.edge_index[:, near]
        bond = torch.arange(len(near), device=i.device).repeat(2)
        center = torch.cat([i, j])
        direction = torch.cat([-vectors, vectors]) / length.repeat(2)[:, None]
        short = torch.nonzero(length[bond] < self._bond_cutoff).flatten()
        first, second = (short[k] for k in pairs_within(center[short], crystals.n_atoms))
        encoder, angles = self._model.bond_basis_expansion, self._model.angle_basis_expansion
        return BatchedGraph(
            atomic_numbers=crystals.species_probs[:, : self._n_elements].float(),
            bond_bases_ag=encoder.rbf_expansion_ag(length).float(),
            bond_bases_bg=encoder.rbf_expansion_bg(length).float(),
            angle_bases=angles(direction[first], direction[second]).float(),
            batched_atom_graph=torch.stack([center, torch.cat([j, i])], dim=1),
            batched_bond_graph=torch.stack([center[first], bond[first], bond[second]], dim=1),
            atom_owners=crystals.system_idx,
            directed2undirected=bond,
            atom_positions=(),
            strains=(),
            volumes=crystals.volume,
        )


class SoftEmbedding(nn.Module):
    """Mean element embedding under the species weights."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, species_less_one: Tensor) -> Tensor:
        """Embed weights [N, elements], of which CHGNet subtracts 1 (it expects atomic numbers)."""
        return (species_less_one + 1) @ self.weight


def pairs_within(group: Tensor, n_groups: int) -> tuple[Tensor, Tensor]:
    """All ordered pairs of different members of each group.

    Args:
        group: Group of each member, [n].
        n_groups: Number of groups; some may be empty.

    Returns:
        First and second member of each pair.
    """
    order = torch.argsort(group, stable=True)
    size = torch.bincount(group, minlength=n_groups)
    start = torch.cumsum(size, 0) - size
    partners = size[group[order]]
    first = torch.repeat_interleave(partners)
    begin = torch.repeat_interleave(torch.cumsum(partners, 0) - partners, partners)
    place = torch.arange(len(first), device=group.device) - begin
    second = start[group[order[first]]] + place
    different = first != second
    return order[first[different]], order[second[different]]


def original_model(device: str = "cpu") -> Any:  # noqa: ANN401  (CHGNet has no type hints)
    """CHGNet itself, with the weights from its wheel.

    Raises:
        MissingExtraError: If CHGNet is not installed.
    """
    try:
        from chgnet.model import CHGNet  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise MissingExtraError.of("the predictor chgnet needs CHGNet", "chgnet") from error
    with redirect_stdout(io.StringIO()):  # it announces itself
        return CHGNet.load(model_name=MODEL, use_device=device, verbose=False)


def load_chgnet(device: str = "cpu") -> ChgnetPredictor:
    """Load CHGNet with the weights from its wheel (entry point `chgnet`).

    Raises:
        MissingExtraError: If CHGNet is not installed.
    """
    model = original_model(device)
    table = files("smoacs.predictors") / "chgnet_references.json"
    return ChgnetPredictor(model, json.loads(table.read_text(encoding="utf-8"))["energies"])
