"""Reading the files of matgl's MEGNet and M3GNet models, old ones included (extra `matgl`).

`matgl.load_model` cannot read matgl's published models as they are, and reads MEGNet's wrongly
without a word. Here they are read without running anything that a file may hold; with the names
that have changed; and, if they were trained before matgl 3 (with DGL), with messages summed at the
atom that an edge points to, where matgl now sums them at the atom it comes from.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from smoacs.errors import InputError

FILES = ("model.json", "model.pt", "state.pt")

ORGANISATION = "materialyze"
"""Where matgl publishes its models."""

BROKEN_GAP_MEAN = 1.57419002
"""eV, the mean that MEGNet-MP-2019.4.1-BandGap-mfi adds to its output."""


def find_model(where: str) -> Path:
    """Find the folder of a model, or fetch the model of this name from Hugging Face.

    Raises:
        InputError: If there is neither.
    """
    folder = Path(where)
    if folder.is_dir():
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            msg = f"{where} is no model of matgl: it lacks {', '.join(missing)}"
            raise InputError(msg)
        return folder
    if where.startswith((".", "~", "/")) or where.count("/") > 1:
        msg = f"there is no folder {where}"
        raise InputError(msg)
    from huggingface_hub import hf_hub_download  # noqa: PLC0415  (comes with matgl)
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    owner_and_name = where if "/" in where else f"{ORGANISATION}/{where}"
    try:
        paths = [Path(hf_hub_download(owner_and_name, name)) for name in FILES]
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        msg = f"{where} is no folder, and Hugging Face has no {owner_and_name}: {reason}"
        raise InputError(msg) from error
    return paths[0].parent


@dataclass(frozen=True, kw_only=True)
class StoredModel:
    """What the files of a model hold.

    Attributes:
        where: Where they were found, for messages.
        kind: "MEGNet" or "M3GNet".
        arguments: What its class is made with.
        state: Its weights.
        transformer: matgl's transformer of its output, or None.
        metadata: What it was saved with.
    """

    where: str
    kind: str
    arguments: Mapping[str, Any]
    state: Mapping[str, Tensor]
    transformer: object
    metadata: Mapping[str, Any]

    @property
    def from_dgl(self) -> bool:
        """Whether the files show that the model was trained with DGL, before matgl 3."""
        renamed = any(name.startswith("readout.set2set.") for name in self.state)
        return renamed or "graph_transformations" in self.arguments

    def build(self, messages: str | None) -> nn.Module:
        """Make the model.

        Args:
            messages: "source" or "destination"; None to judge by the files.

        Raises:
            InputError: If the weights do not fit, or the model gives anything but one value per
                crystal.
        """
        import matgl.models  # noqa: PLC0415  (an extra)

        arguments = self.arguments
        if arguments.get("ntargets", 1) != 1 or not arguments.get("is_intensive", True):
            msg = f"{self.where} does not give one intensive value per crystal, as predictors must"
            raise InputError(msg)
        if arguments.get("dim_state_feats") is not None:
            msg = f"{self.where} wants features of a state, which crystals do not have"
            raise InputError(msg)
        model: nn.Module = getattr(matgl.models, self.kind)(**arguments)
        state = {k.replace("readout.set2set.", "readout."): v for k, v in self.state.items()}
        try:
            missing = model.load_state_dict(state, strict=False).missing_keys
        except RuntimeError as error:
            msg = f"the weights in {self.where} do not fit: {str(error).splitlines()[-1].strip()}"
            raise InputError(msg) from error
        lacking = sorted(set(missing) & {name for name, _ in model.named_parameters()})
        if lacking:
            msg = f"the weights in {self.where} lack {lacking[0]} (and {len(lacking) - 1} more)"
            raise InputError(msg)
        if messages == "destination" or (messages is None and self.from_dgl):
            sum_at_destination(model, self.kind)
        return model


def read_model(folder: Path, where: str) -> StoredModel:
    """Read the files of a model; nothing in them is run.

    Raises:
        InputError: If they are damaged, hold a model that smoacs does not read, or one that is
            known to be broken.
    """
    from matgl.data.transformer import LogTransformer, Normalizer  # noqa: PLC0415  (an extra)

    try:
        card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        with torch.serialization.safe_globals([Normalizer, LogTransformer]):
            arguments = torch.load(folder / "model.pt", map_location="cpu", weights_only=True)
            state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
        kind = card["@class"]
        transformer = None
        if kind == "TransformedTargetModel":
            transformer = arguments["target_transformer"]
            kind, arguments = arguments["model"]["@class"], arguments["model"]["init_args"]
            state = {name.removeprefix("model."): tensor for name, tensor in state.items()}
    except (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, UnpicklingError) as e:
        reason = next(iter(str(e).splitlines()), "a file ends too early")
        msg = f"{where} holds no model that can be read: {reason}"
        raise InputError(msg) from e
    if kind not in {"MEGNet", "M3GNet"}:
        msg = f"{where} holds a {kind}: smoacs reads MEGNet and M3GNet property models"
        raise InputError(msg)
    mean = float(getattr(transformer, "mean", 0.0))
    if kind == "MEGNet" and abs(mean - BROKEN_GAP_MEAN) < 1e-6:  # noqa: PLR2004
        msg = (
            f"{where} is MEGNet-MP-2019.4.1-BandGap-mfi, which gives most crystals a gap of about "
            "0 eV (https://github.com/materialyzeai/matgl/issues/657): use another model"
        )
        raise InputError(msg)
    return StoredModel(
        where=where,
        kind=kind,
        arguments=arguments,
        state=state,
        transformer=transformer,
        metadata=card.get("metadata") or {},
    )


def sum_at_destination(model: nn.Module, kind: str) -> None:
    """Let a model sum messages at the atom that an edge points to, as DGL does."""
    layers: Any = model.blocks if kind == "MEGNet" else model.graph_layers
    update = _megnet_update if kind == "MEGNet" else _m3gnet_update
    for layer in layers:
        layer.conv.node_update_ = update(layer.conv)


def _megnet_update(conv: Any) -> Callable[..., Tensor]:  # noqa: ANN401
    own = conv.node_update_  # uses of the edges only where they come from

    def update(edges: Tensor, *rest: Any) -> Tensor:  # noqa: ANN401
        updated: Tensor = own(edges.flip(0), *rest)
        return updated

    return update


def _m3gnet_update(conv: Any) -> Callable[..., Tensor]:  # noqa: ANN401
    def update(  # noqa: PLR0917  (matgl's signature)
        edges: Tensor, edge: Tensor, node: Tensor, radial: Tensor, state: Tensor | None, n: int
    ) -> Tensor:
        source, destination = edges
        parts = [node[source], node[destination], edge]
        joined = torch.cat(parts if state is None else [*parts, state], dim=1)
        message = conv.node_update_func(joined) * conv.node_weight_func(radial)
        zeros: Tensor = message.new_zeros(n, message.shape[1])
        return zeros.index_add(0, destination, message)

    return update
