"""Read a Nequix potential's `.nqx` file into plain matrices. Needs JAX and nequix.

Couplings, normalisations and the constant of the gate are not written down here a second time:
they are measured on e3nn's own functions, so that what comes out is what the package computes.
"""

from pathlib import Path as FilePath
from typing import Any

import e3nn_jax as e3nn
import jax
import jax.numpy as jnp
import numpy as np
from nequix.model import load_model
from weights import Array, Layer, Path, Weights, monomials, padded


def read_weights(path: FilePath) -> Weights:
    """Read a `.nqx` file."""
    model, config = load_model(str(path), False)  # noqa: FBT003 - no CUDA kernel
    lmax = int(config["lmax"])
    layers = [_layer(layer, lmax) for layer in model.layers]
    gated = e3nn.gate(e3nn.IrrepsArray("1x0e", jnp.ones((1, 1))), even_act=jax.nn.silu)
    (readout,) = _blocks(model.readout).values()
    return Weights(
        cutoff=float(config["cutoff"]),
        basis=int(config["radial_basis_size"]),
        power=float(config["radial_polynomial_p"]),
        numbers=tuple(sorted(config["atomic_numbers"])),
        layers=layers,
        scalars=e3nn.Irreps(config["hidden_irreps"]).count("0e"),
        gate=float(gated.array[0, 0] / jax.nn.silu(1.0)),
        readout=readout[:, 0],
        scale=float(model.scale),
        atoms=np.asarray(model.atom_energies, dtype=np.float32) + np.float32(model.shift),
        harmonics={degree: _harmonics(degree) for degree in range(lmax + 1)},
    )


def _layer(layer: Any, lmax: int) -> Layer:  # noqa: ANN401 - an equinox module
    irreps_in = layer.linear_1.irreps_in
    order = layer.tp_irreps.sort().inv
    outputs = {ir for _, ir in layer.output_irreps}
    paths = [
        (mul, ir1, ir2, ir3)
        for mul, ir1 in irreps_in
        for ir2 in (e3nn.Irrep(degree, (-1) ** degree) for degree in range(lmax + 1))
        for ir3 in ir1 * ir2
        if ir3 in outputs
    ]
    paths = [paths[k] for k in order]
    last = np.asarray(layer.radial_mlp.layers[-1].weights)
    pieces = np.split(last, np.cumsum([mul for mul, *_ in paths])[:-1], axis=1)
    radial = [np.asarray(part.weights) for part in layer.radial_mlp.layers[:-1]]
    radial.append(np.concatenate([_pad(piece, 1) for piece in pieces], axis=1))
    second = {}
    for degree, block in _blocks(layer.linear_2).items():
        sizes = [mul for mul, _, _, ir3 in paths if ir3.l == degree]
        rows = np.split(block, np.cumsum(sizes)[:-1], axis=0)
        second[degree] = np.concatenate([_pad(row, 0) for row in rows]) / np.sqrt(
            np.float32(layer.avg_n_neighbors)
        )
    norm = {
        part.ir.l: np.asarray(weight)
        for part, weight in zip(
            layer.layer_norm.irreps, layer.layer_norm.affine_weight, strict=True
        )
    }
    return Layer(
        inputs={ir.l: padded(mul) for mul, ir in irreps_in},
        paths=[
            Path((ir1.l, ir2.l, ir3.l), padded(mul), _coupling(ir1, ir2, ir3))
            for mul, ir1, ir2, ir3 in paths
        ],
        first={k: _pad(block, 1) for k, block in _blocks(layer.linear_1).items()},
        radial=radial,
        second=second,
        skip=_blocks(layer.skip),
        norm=norm,
    )


def _blocks(linear: Any) -> dict[int, Array]:  # noqa: ANN401 - an equinox module
    """Effective matrix of an equivariant linear map for each degree, [inputs, outputs]."""
    blocks = {}
    start = 0
    for mul, ir in linear.irreps_in.regroup():
        probe = np.zeros((mul, linear.irreps_in.regroup().dim), dtype=np.float32)
        probe[np.arange(mul), start + ir.dim * np.arange(mul)] = 1.0
        out = linear(e3nn.IrrepsArray(linear.irreps_in, jnp.asarray(probe)))
        at = 0
        for outputs, ir_out in out.irreps:
            if ir_out == ir:
                block = np.asarray(out.array)[:, at : at + outputs * ir.dim : ir.dim]
                if np.any(block):
                    blocks[ir.l] = block
            at += outputs * ir_out.dim
        start += mul * ir.dim
    return blocks


def _coupling(ir1: e3nn.Irrep, ir2: e3nn.Irrep, ir3: e3nn.Irrep) -> Array:
    """[2 l3 + 1, 2 l1 + 1, 2 l2 + 1], with the normalisation of `e3nn.tensor_product`."""
    one = e3nn.IrrepsArray(f"{ir1}", jnp.repeat(jnp.eye(ir1.dim), ir2.dim, axis=0))
    two = e3nn.IrrepsArray(f"{ir2}", jnp.tile(jnp.eye(ir2.dim), (ir1.dim, 1)))
    out = e3nn.tensor_product(one, two, filter_ir_out=[ir3])
    return np.asarray(out.array).reshape(ir1.dim, ir2.dim, ir3.dim).transpose(2, 0, 1)


def _harmonics(degree: int) -> Array:
    """Spherical harmonics of unit vectors as sums of monomials, [monomials, 2 l + 1]."""
    points = np.random.default_rng(0).normal(size=(200, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    powers = np.array(monomials(degree))
    values = np.prod(points[:, None, :] ** powers[None], axis=2)
    irreps = f"1x{degree}{'e' if degree % 2 == 0 else 'o'}"
    wanted = e3nn.spherical_harmonics(irreps, points, normalize=True, normalization="component")
    found, *_ = np.linalg.lstsq(values, np.asarray(wanted.array, dtype=float), rcond=None)
    return np.where(np.abs(found) < 1e-5, 0.0, found).astype(np.float32)


def _pad(block: Array, axis: int) -> Array:
    """The block with zeros added up to a multiple of the kernel's width."""
    missing = padded(block.shape[axis]) - block.shape[axis]
    widths = [(0, missing if k == axis else 0) for k in range(block.ndim)]
    return np.pad(block, widths)
