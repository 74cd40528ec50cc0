"""MEGNet and M3GNet property models of matgl 4 as predictors (extra `matgl`).

A model is a folder as matgl saves it (model.json, model.pt, state.pt), or a name that Hugging Face
knows (matgl's own organisation `materialyze` unless an owner is given):

    smoacs design --predictor matgl:models/my_gap,property=band_gap ...
    smoacs design --predictor matgl:MEGNet-MP-2018.6.1-Eform ...

After commas come options: `property`, what the model predicts; `unit`, needed unless smoacs knows
the property; `messages`, "source" or "destination", see below. The first two may also stand in the
metadata that the model was saved with, and names with "Eform" mean formation_energy.

Models trained before matgl 3 (with DGL) sum messages at the atom that an edge points to, later ones
at the atom it comes from. The old ones are recognised by what DGL's time left in their files; where
nothing is left, say `messages=destination` yourself. So read, MEGNet-MP-2018.6.1-Eform has its
published accuracy; M3GNet-MP-2018.6.1-Eform stays about 0.02 eV/atom short of it.
MEGNet-MP-2019.4.1-BandGap-mfi is broken and refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from smoacs.chemistry import element_index
from smoacs.crystals import Crystals, NeighborList
from smoacs.errors import InputError, MissingExtraError
from smoacs.predictors.adapters import count_work, evaluate_in_chunks, loosen
from smoacs.predictors.matgl_files import find_model, read_model
from smoacs.predictors.properties import PROPERTIES

KNOWN_NAMES: Mapping[str, str] = {"Eform": "formation_energy"}
"""What a part of a published model's name says about its property."""

WORK_PER_CHUNK = 50_000
"""Edges and angles evaluated together."""


@dataclass(frozen=True, kw_only=True)
class MatglOptions:
    """What the user says about a model; None where the model's files are to say it.

    Attributes:
        property: Name of what it predicts.
        unit: Unit of that.
        messages: Where messages are summed: "source" or "destination" of an edge.
    """

    property: str | None = None
    unit: str | None = None
    messages: str | None = None


class MatglPredictor:
    """One property by a MEGNet or M3GNet, differentiable (once) in species, positions and cell.

    Edges end abruptly at the cutoff of such models, so values jump a little where atoms cross it.
    Crystals denser than any real one are stretched (see `smoacs.predictors.adapters`).
    """

    def __init__(self, model: Any, transformer: Any, *, name: str, unit: str) -> None:  # noqa: ANN401
        """Take a model of matgl, whose element embedding is replaced.

        Args:
            model: A MEGNet or M3GNet.
            transformer: matgl's transformer of its output; None for the output itself.
            name: Property.
            unit: Unit of it.
        """
        weight = model.embedding.layer_node_embedding.weight
        self._model = model.eval().requires_grad_(requires_grad=False)
        self._model.embedding.layer_node_embedding = Mixture(weight)
        self._transformer = transformer
        self._device, self._dtype = weight.device, weight.dtype
        self._angle_cutoff = float(getattr(model, "threebody_cutoff", 0.0))
        self._columns = [element_index(symbol) for symbol in model.element_types]
        self.cutoff = float(model.cutoff)
        self.elements = frozenset(model.element_types)
        self.properties: Mapping[str, str] = {name: unit}
        self._name = name

    def __call__(self, crystals: Crystals, neighbors: NeighborList) -> dict[str, Tensor]:
        """Return the property, [B], in the model's precision."""
        loose, repulsion = loosen(crystals.to(self._device))
        work = count_work(loose, neighbors, self.cutoff, self._angle_cutoff)
        values = evaluate_in_chunks(
            self._values, loose, neighbors, work=work, work_per_chunk=WORK_PER_CHUNK
        )
        if "energy" in self._name:
            values = values + repulsion.to(values)
        return {self._name: values}

    def _values(self, crystals: Crystals, neighbors: NeighborList) -> Tensor:
        edges, shifts = neighbors.full()
        vectors = torch.cat([v := neighbors.vectors(crystals), -v])
        near = torch.nonzero(vectors.norm(dim=1) < self.cutoff).flatten()
        near = near[torch.argsort(edges[0, near], stable=True)]
        edges, shifts = edges[:, near], shifts[near]
        cell = crystals.cell[crystals.system_idx[edges[0]]]
        graph = SimpleNamespace(
            node_type=crystals.species_probs[:, self._columns].to(self._dtype),
            pos=crystals.positions.to(self._dtype),
            edge_index=edges,
            pbc_offshift=(shifts.to(cell).unsqueeze(1) @ cell).squeeze(1).to(self._dtype),
            batch=crystals.system_idx,
            num_graphs=crystals.n_systems,
        )
        values = self._model(g=graph, state_attr=self._state(crystals.n_systems))
        self._model.feature_dict = {}  # it would keep the whole graph alive
        if self._transformer is not None:
            values = self._transformer.inverse_transform(values)
        flat: Tensor = values.reshape(-1)
        return flat

    def _state(self, n: int) -> Tensor | None:
        """State of each crystal, as matgl sets it for those that are nothing special."""
        embedding = self._model.embedding
        if not embedding.include_state:
            return None
        if embedding.ntypes_state:
            return torch.zeros(n, dtype=torch.int64, device=self._device)
        width = embedding.dim_state_embedding
        return torch.zeros(n, width, dtype=self._dtype, device=self._device)


class Mixture(nn.Module):
    """Mean element embedding under the species weights."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, species: Tensor) -> Tensor:
        """Embed weights [N, elements]."""
        return species @ self.weight


def load_matgl(device: str = "cpu", argument: str = "") -> MatglPredictor:
    """Load a model by folder or name, and options (entry point `matgl`).

    Args:
        device: Where to.
        argument: As after `matgl:`, see the module's docstring.

    Raises:
        MissingExtraError: If matgl is not installed.
        InputError: If there is no such model, it is not one that smoacs reads, or its property or
            unit is unknown.
    """
    try:
        import matgl.models  # noqa: F401, PLC0415  (an extra)
    except ImportError as error:
        raise MissingExtraError.of("the predictor matgl needs matgl 4", "matgl") from error
    if not argument:
        msg = "the predictor matgl needs a model: --predictor matgl:FOLDER or matgl:NAME"
        raise InputError(msg)
    where, options = parse_argument(argument)
    stored = read_model(find_model(where), where)
    model = stored.build(options.messages)
    name, unit = _property_and_unit(where, options, stored.metadata)
    return MatglPredictor(model.to(device), stored.transformer, name=name, unit=unit)


def parse_argument(argument: str) -> tuple[str, MatglOptions]:
    """Split `FOLDER_OR_NAME,key=value,...`.

    Raises:
        InputError: If an option is unknown, or has an impossible value.
    """
    where, *pairs = argument.split(",")
    given = dict(pair.partition("=")[::2] for pair in pairs)
    known = list(vars(MatglOptions()))
    unknown = [key for key in given if key not in known]
    if unknown:
        msg = f"matgl:{argument} has no option {unknown[0]!r}: there are {', '.join(known)}"
        raise InputError(msg)
    options = MatglOptions(**given)
    if options.messages not in {None, "source", "destination"}:
        msg = f'messages must be "source" or "destination", not {options.messages!r}'
        raise InputError(msg)
    return where, options


def _property_and_unit(
    where: str, options: MatglOptions, metadata: Mapping[str, Any]
) -> tuple[str, str]:
    """Property and unit by option, else by the model's metadata, else by its name."""
    by_name = next((prop for part, prop in KNOWN_NAMES.items() if part in Path(where).name), None)
    name = options.property or metadata.get("property") or by_name
    if name is None:
        msg = f"say what {where} predicts: matgl:{where},property=NAME"
        raise InputError(msg)
    known = PROPERTIES[name].unit if name in PROPERTIES else None
    unit = options.unit or metadata.get("unit") or known
    if unit is None:
        msg = f"say the unit of {name}: matgl:{where},property={name},unit=UNIT"
        raise InputError(msg)
    if known not in {None, unit}:
        msg = f"{name} is in {known}, but {where} gives {unit}: give its property another name"
        raise InputError(msg)
    return name, unit
