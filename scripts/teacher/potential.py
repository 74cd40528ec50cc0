"""A Nequix potential on a CPU, ten times as fast as its own code: energies, forces and stresses.

The messages between atoms, where nearly all of the work is, are a kernel in C++ that is compiled on
first use (`messages.cpp`); what is left are matrix products, which PyTorch does. Pairs of atoms are
visited once for both directions. Agrees with `nequix.calculator` to single precision
(`check_potential.py`).
"""

import ctypes
import hashlib
import pickle
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from vesin import NeighborList
from weights import Layer, Weights, monomials

KNOTS = 768
"""Of the table of radial weights, over the cutoff: forces change by 1e-5 at most."""

MAX_PAIRS = 1000
"""Pairs of atoms in a batch: more do not fit the cache."""


@dataclass(frozen=True)
class Labels:
    """What the potential says about a crystal.

    Attributes:
        energy: eV, of the whole cell.
        forces: eV/Å, [n, 3].
        stress: eV/Å³, [3, 3], positive where the crystal is stretched too far.
    """

    energy: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64]


class _PathStruct(ctypes.Structure):
    _fields_ = (
        *(
            (name, ctypes.c_int32)
            for name in ("l1", "l3", "channels", "h", "t", "r", "a", "stride")
        ),
        ("parity", ctypes.c_float),
    )


def _library() -> ctypes.CDLL:
    """The compiled kernel, kept in the folder for temporary files under its source's hash."""
    source = Path(__file__).with_name("messages.cpp")
    key = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    target = Path(tempfile.gettempdir()) / f"smoacs-messages-{key}.so"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            built = Path(folder) / "messages.so"
            flags = ["-O3", "-march=native", "-ffast-math", "-shared", "-fPIC"]
            subprocess.run(["c++", *flags, str(source), "-o", str(built)], check=True)  # noqa: S603, S607
            built.replace(target)
    return ctypes.CDLL(str(target))


def _weights(path: Path) -> Weights:
    """Weights of a `.nqx` file; once read, they are kept in the folder for temporary files."""
    sources = [path, *(Path(__file__).with_name(name) for name in ("weights.py", "read_nequix.py"))]
    key = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    kept = Path(tempfile.gettempdir()) / f"smoacs-weights-{key}.pickle"
    if not kept.exists():
        from read_nequix import read_weights  # noqa: PLC0415 - needs JAX, and half a minute

        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            written = Path(folder) / "weights"
            written.write_bytes(pickle.dumps(read_weights(path)))
            written.replace(kept)
    weights: Weights = pickle.loads(kept.read_bytes())  # noqa: S301 - our own file
    return weights


class _Messages:
    """The kernel with the tables of one layer."""

    def __init__(self, layer: Layer, table: Tensor, library: ctypes.CDLL) -> None:
        self._library = library
        self._table = table
        h_at, start = {}, 0
        for degree, channels in layer.inputs.items():
            h_at[degree] = start
            start += (2 * degree + 1) * channels
        totals: dict[int, int] = {}
        for path in layer.paths:
            totals[path.degrees[2]] = totals.get(path.degrees[2], 0) + path.channels
        a_at, width = {}, 0
        for degree, channels in totals.items():
            a_at[degree] = width
            width += (2 * degree + 1) * channels
        self.totals = totals
        structs, t, r = [], 0, 0
        used = dict.fromkeys(totals, 0)
        couplings = []
        for path in layer.paths:
            l1, l2, l3 = path.degrees
            at = a_at[l3] + used[l3]
            structs.append(
                (l1, l3, path.channels, h_at[l1], t, r, at, totals[l3], float((-1) ** l2))
            )
            used[l3] += path.channels
            t += (2 * l1 + 1) * (2 * l3 + 1)
            r += path.channels
            flat = np.zeros((16, (2 * l1 + 1) * (2 * l3 + 1)), dtype=np.float32)
            flat[l2 * l2 : (l2 + 1) ** 2] = path.coupling.reshape(-1, 2 * l2 + 1).T
            couplings.append(flat)
        self.coupling = torch.from_numpy(np.concatenate(couplings, axis=1))
        self._paths = (_PathStruct * len(structs))(*structs)
        self._widths = np.array([start, t, r, width], dtype=np.int32)

    def forward(self, pairs: Tensor, h: Tensor, t: Tensor, x: Tensor) -> Tensor:
        out = torch.zeros(len(h), int(self._widths[3]))
        self._call(self._library.forward_messages, pairs, h, t, x, out)
        return out

    def backward(self, pairs: Tensor, inputs: Sequence[Tensor], grad: Tensor) -> Any:  # noqa: ANN401
        h, t, x = inputs
        grads = torch.zeros_like(h), torch.empty_like(t), torch.empty_like(x)
        self._call(self._library.backward_messages, pairs, h, t, x, grad.contiguous(), *grads)
        return grads

    def _call(self, function: Any, pairs: Tensor, *tensors: Tensor) -> None:  # noqa: ANN401
        pointers = [
            ctypes.c_void_p(x.data_ptr()) for x in (pairs[0], pairs[1], self._table, *tensors)
        ]
        widths = ctypes.c_void_p(self._widths.ctypes.data)
        count = ctypes.c_int(pairs.shape[1])
        function(self._paths, ctypes.c_int(len(self._paths)), widths, count, *pointers)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, t: Tensor, x: Tensor, pairs: Tensor, kernel: _Messages) -> Any:  # noqa: ANN401, PLR0917
        ctx.save_for_backward(h, t, x)
        ctx.pairs, ctx.kernel = pairs, kernel
        return kernel.forward(pairs, h, t, x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # noqa: ANN401
        return *ctx.kernel.backward(ctx.pairs, ctx.saved_tensors, grad), None, None


class Potential:
    """Labels crystals; sets PyTorch to one thread."""

    def __init__(self, path: Path) -> None:
        """Read the weights of a `.nqx` file."""
        torch.set_num_threads(1)
        self.weights: Weights = _weights(path)
        library = _library()
        self._kernels = [
            _Messages(layer, self._radial_table(layer), library) for layer in self.weights.layers
        ]
        self._index = {z: k for k, z in enumerate(self.weights.numbers)}
        tensors = torch.utils._pytree.tree_map  # noqa: SLF001
        self._tensors = [
            tensors(
                torch.from_numpy,
                {
                    "first": layer.first,
                    "second": layer.second,
                    "skip": layer.skip,
                    "norm": layer.norm,
                },
            )
            for layer in self.weights.layers
        ]
        self._harmonics = {
            degree: torch.from_numpy(block) for degree, block in self.weights.harmonics.items()
        }
        self._readout = torch.from_numpy(np.ascontiguousarray(self.weights.readout))
        self._atoms = torch.from_numpy(self.weights.atoms)
        self._neighbours = NeighborList(cutoff=self.weights.cutoff, full_list=False)
        self.pairs_done = 0
        """Pairs of atoms labelled so far, the measure of the work."""

    def supports(self, numbers: Sequence[int]) -> bool:
        """Whether all of these atomic numbers are known."""
        return all(int(z) in self._index for z in numbers)

    def __call__(self, crystals: Sequence[ase.Atoms]) -> list[Labels]:
        """Labels in the crystals' order."""
        lists = [self._pairs(atoms) for atoms in crystals]
        out: list[Labels | None] = [None] * len(crystals)
        for batch in _batches([len(pairs[0]) for pairs in lists]):
            labels = self._label([crystals[k] for k in batch], [lists[k] for k in batch])
            for k, item in zip(batch, labels, strict=True):
                out[k] = item
        return [item for item in out if item is not None]

    def _pairs(self, atoms: ase.Atoms) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """First atom, second atom and vector (Å) of each pair within the cutoff, once."""
        first, second, vectors = self._neighbours.compute(
            atoms.positions, atoms.cell.array, periodic=True, quantities="ijD"
        )
        return first.astype(np.int32), second.astype(np.int32), vectors

    def _label(self, crystals: Sequence[ase.Atoms], lists: Sequence[Any]) -> list[Labels]:
        sizes = [len(atoms) for atoms in crystals]
        starts = np.cumsum([0, *sizes])
        pairs = np.stack(
            [
                np.concatenate([part[k] + at for part, at in zip(lists, starts, strict=False)])
                for k in (0, 1)
            ]
        ).astype(np.int32)
        vectors = np.concatenate([part[2] for part in lists])
        owner = np.repeat(np.arange(len(crystals)), [len(part[0]) for part in lists])
        numbers = np.concatenate([atoms.numbers for atoms in crystals])
        species = torch.tensor([self._index[int(z)] for z in numbers])
        vector = torch.from_numpy(vectors.astype(np.float32)).requires_grad_()
        atomic = self._atomic_energies(vector, torch.from_numpy(pairs), species)
        (slope,) = torch.autograd.grad(atomic.sum(), vector)
        self.pairs_done += len(vectors)
        slope = slope.numpy().astype(float)
        energies = atomic.detach().numpy().astype(float)
        forces = np.zeros((len(numbers), 3))
        np.add.at(forces, pairs[0], slope)
        np.add.at(forces, pairs[1], -slope)
        virial = np.zeros((len(crystals), 3, 3))
        np.add.at(virial, owner, slope[:, :, None] * vectors[:, None, :])
        out = []
        for k, atoms in enumerate(crystals):
            part = slice(starts[k], starts[k + 1])
            stress = 0.5 * (virial[k] + virial[k].T) / atoms.get_volume()
            out.append(Labels(float(energies[part].sum()), forces[part], stress))
        return out

    def _atomic_energies(self, vector: Tensor, pairs: Tensor, species: Tensor) -> Tensor:
        """eV, [n]; pairs [2, p] point along the vectors [p, 3] from first to second."""
        weights = self.weights
        distance = vector.norm(dim=1, keepdim=True)
        steps = distance[:, 0] * (KNOTS / weights.cutoff)
        harmonics = self._spherical_harmonics(vector / distance)
        features: dict[int, Tensor] = {}
        for number, (layer, kernel, tensors) in enumerate(
            zip(weights.layers, self._kernels, self._tensors, strict=True)
        ):
            if number == 0:
                sent = tensors["first"][0][species]
                skipped = {0: tensors["skip"][0][species][:, None]}
            else:
                parts = [features[k] @ tensors["first"][k] for k in layer.inputs]
                sent = torch.cat([part.flatten(1) for part in parts], dim=1)
                skipped = {k: features[k] @ w for k, w in tensors["skip"].items()}
            turned = harmonics @ kernel.coupling
            summed = _Sum.apply(sent.contiguous(), turned, steps, pairs, kernel)
            features = {}
            at = 0
            for degree, channels in kernel.totals.items():
                width = (2 * degree + 1) * channels
                part = summed[:, at : at + width].reshape(len(summed), -1, channels)
                features[degree] = part @ tensors["second"][degree] + skipped.get(degree, 0.0)
                at += width
            features = self._gated(_normalised(features, tensors["norm"]))
        readout = features[0][:, 0] @ self._readout
        return readout * weights.scale + self._atoms[species]

    def _radial_table(self, layer: Layer) -> Tensor:
        """Weights of all paths and their slopes at evenly spaced distances, [knots + 2, 2, n]."""
        step = self.weights.cutoff / KNOTS
        distance = step * torch.arange(KNOTS + 2, dtype=torch.float64)[:, None]
        distance[0] = 1e-3
        matrices = [torch.from_numpy(matrix).double() for matrix in layer.radial]

        def radial(x: Tensor) -> Tensor:
            out = self._radial_basis(x)
            for matrix in matrices[:-1]:
                out = torch.nn.functional.silu(out @ matrix)
            return out @ matrices[-1]

        values, slopes = torch.func.jvp(radial, (distance,), (torch.full_like(distance, step),))
        return torch.stack([values, slopes], dim=1).float().contiguous()

    def _radial_basis(self, distance: Tensor) -> Tensor:
        """Bessel functions times the smooth cutoff, [p, basis]."""
        cutoff, p = self.weights.cutoff, self.weights.power
        orders = torch.arange(1, self.weights.basis + 1, dtype=distance.dtype) * np.pi
        x = distance / cutoff
        envelope = (
            1.0
            - (p + 1.0) * (p + 2.0) / 2.0 * x**p
            + p * (p + 2.0) * x ** (p + 1.0)
            - p * (p + 1.0) / 2.0 * x ** (p + 2.0)
        )
        return 2.0 / cutoff * torch.sin(orders * x) / distance * envelope * (x < 1.0)

    def _spherical_harmonics(self, unit: Tensor) -> Tensor:
        """[p, (lmax + 1)²]."""
        x, y, z = unit.unbind(1)
        powers = [
            [torch.ones_like(axis), axis, axis * axis, axis * axis * axis] for axis in (x, y, z)
        ]
        parts = []
        for degree, block in self._harmonics.items():
            terms = [powers[0][i] * powers[1][j] * powers[2][k] for i, j, k in monomials(degree)]
            parts.append(torch.stack(terms, dim=1) @ block)
        return torch.cat(parts, dim=1)

    def _gated(self, features: dict[int, Tensor]) -> dict[int, Tensor]:
        """Scalars through silu; the others times a gate of their own."""
        scalars = torch.nn.functional.silu(features[0]) * self.weights.gate
        out = {0: scalars[..., : self.weights.scalars]}
        at = self.weights.scalars
        for degree, part in features.items():
            if degree > 0:
                channels = part.shape[2]
                out[degree] = part * scalars[..., at : at + channels]
                at += channels
        return out


def _normalised(features: dict[int, Tensor], affine: dict[int, Tensor]) -> dict[int, Tensor]:
    """Over a common length: squares summed over channels, averaged twice over components."""
    share = 1.0 / len(features)
    square = sum(
        (part**2).sum(dim=(1, 2), keepdim=True) * (share / part.shape[1] ** 2)
        for part in features.values()
    )
    factor = (square + 1e-12) ** -0.5
    return {degree: part * affine[degree] * factor for degree, part in features.items()}


def _batches(sizes: Sequence[int]) -> Iterator[list[int]]:
    """Groups of neighbours in the list with no more pairs than a batch may have."""
    batch: list[int] = []
    total = 0
    for k, size in enumerate(sizes):
        if batch and total + size > MAX_PAIRS:
            yield batch
            batch, total = [], 0
        batch.append(k)
        total += size
    if batch:
        yield batch
