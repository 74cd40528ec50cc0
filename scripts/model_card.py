r"""Write the model card of a weights file: every number in it comes from here.

    python scripts/model_card.py megnet_mp2018.parquet mp_elasticity.parquet \
        --predictor mp2018 --out src/smoacs/predictors/weights/MODEL_CARD.md

The first data file is the one with energies and band gaps. With `--chgnet` the numbers against
CHGNet come along (extra `chgnet`, about an hour on two cores); `--quick` takes a few crystals of
each kind, to see that all works. All numbers go to a JSON file beside the card, too.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import ensemble_speed
import off_equilibrium
import spread
from held_out import labelled

import relaxation
from smoacs.crystals import Crystals
from smoacs.evaluation import evaluate
from smoacs.predictors import BUILTIN, CombinedPredictor, NetworkPredictor, load_predictor
from smoacs.predictors.network.edges import WALL

SMALL = 20
"""Atoms; errors are given for all sizes and for crystals up to this one."""

LENGTHS = ("all_lengths", "mean_length")

PUBLISHED = {
    "formation_energy": "CGCNN 0.031, MEGNet 0.030, ALIGNN 0.022, Crystalformer 0.019",
    "band_gap": "CGCNN 0.292, MEGNet 0.307, ALIGNN 0.218, Crystalformer 0.198",
    "bulk_modulus": "log10, Matbench: CGCNN 0.071, MEGNet 0.067, ALIGNN 0.057",
    "critical_temperature": "ALIGNN about 1.8",
}


@dataclass(frozen=True)
class Sizes:
    """How many crystals each measurement takes; None for all."""

    errors: int | None = None
    off_equilibrium: int = 300
    crystals: int = 200
    perovskites: int = 200
    below_chgnet: int = 2000
    cells: int = 256
    rounds: int = 5


QUICK = Sizes(
    errors=40, off_equilibrium=9, crystals=3, perovskites=3, below_chgnet=10, cells=8, rounds=1
)

Numbers = dict[str, dict[str, dict[str, float]]]


def errors(
    predictor: CombinedPredictor, network: NetworkPredictor, paths: Sequence[Path], most: int | None
) -> dict[str, dict[str, float]]:
    """Mean absolute errors of each property, all sizes and small crystals."""
    report = {}
    for name in network.network.properties:
        structures, labels = labelled(paths, name, most=most)
        if not structures:
            continue
        values = evaluate(predictor, Crystals.from_structures(structures))[name]
        error = np.abs(values - labels)
        small = np.array([len(s) for s in structures]) <= SMALL
        row = {
            "n": len(labels),
            "mae": float(error.mean()),
            "mae_small": float(error[small].mean()),
            "mae_of_median": float(np.abs(labels - np.median(labels)).mean()),
        }
        if name in network.network.log10:
            ratio = np.abs(np.log10(values) - np.log10(labels))
            row |= {
                "mae_log10": float(ratio.mean()),
                "mae_log10_small": float(ratio[small].mean()),
            }
        report[name] = row
    return report


def measure(
    predictor: CombinedPredictor,
    weights: str,
    paths: Sequence[Path],
    sizes: Sizes,
    *,
    chgnet: bool,
) -> Numbers:
    """All numbers of the card."""
    network = network_of(predictor)
    numbers: Numbers = {
        "errors": errors(predictor, network, paths, sizes.errors),
        "spread": spread.measure(predictor, paths, sizes.errors),
        **spread.by_kind(network, paths, sizes.errors),
        "off_equilibrium": {
            "all": off_equilibrium.measure(predictor, paths[0], sizes.off_equilibrium)
        },
        "relaxation": relaxation.measure(
            predictor,
            paths[0],
            crystals=sizes.crystals,
            perovskites=sizes.perovskites if chgnet else 0,
            cells=sizes.cells,
        ),
        "speed": {"all": ensemble_speed.measure(weights, sizes.cells, sizes.rounds)},
    }
    if chgnet:
        numbers["off_equilibrium"]["all"] |= off_equilibrium.below_chgnet(
            predictor,
            load_predictor("chgnet", device="cpu"),
            sizes.below_chgnet,
            np.random.default_rng(1),
        )
    return numbers


def network_of(predictor: CombinedPredictor) -> NetworkPredictor:
    """The part of a predictor that is a built-in network."""
    return next(part for part in predictor.parts if isinstance(part, NetworkPredictor))


def card(network: NetworkPredictor, numbers: Numbers, *, size: float) -> str:
    """The card as Markdown."""
    header, settings = network.header, network.header.settings
    parameters = sum(p.numel() for p in network.network.parameters()) // settings.members
    names = ", ".join(f"`{name}` ({unit})" for name, unit in header.properties.items())
    text = [
        f"# Model card: `{header.name}`",
        "",
        (
            f"An ensemble of {settings.members} networks for {names}, with a standard "
            "deviation of each "
            "as `name.std`. Written by `scripts/model_card.py`, which measures every number below."
        ),
        "",
        "## Network",
        "",
        (
            "One message-passing trunk per member (`smoacs/predictors/network/model.py`): soft "
            "species by "
            f"probability-weighted embeddings, {settings.layers} rounds of messages within "
            f"{settings.cutoff:g} Å under a smooth cutoff, moments of degree 0, 1 and 2 and their "
            f"invariants, {settings.channels} channels, {parameters:,} parameters per member, "
            f"{size:.1f} MB in all. The formation energy is a sum over atoms; the other "
            "properties are "
            f"pooled over the crystal. Atoms closer than {WALL.onset:g} of the sum of their "
            "covalent radii repel by an explicit term in the energies, which hardly any relaxed "
            "crystal feels."
        ),
        "",
        "## Data",
        "",
        *[f"- {source}" for source in header.training_data],
        f"- {len(header.elements)} elements",
        *domain_lines(network),
        "",
        "## Errors",
        "",
        "Mean absolute errors on the test splits:",
        "",
        *error_table(numbers["errors"]),
        "",
        "Published on the same data, or on Matbench's where it says so:",
        "",
        *[f"- {name}: {text}" for name, text in PUBLISHED.items() if name in numbers["errors"]],
        "",
        "## Spread",
        "",
        *spread_table(numbers["spread"]),
        "",
        *coverage_table(numbers["coverage"], numbers["coverage_before"]),
        "",
        "## Away from equilibrium",
        "",
        *off_lines(numbers["off_equilibrium"]["all"]),
        "",
        "## Relaxation",
        "",
        *relaxation_lines(numbers["relaxation"]),
        "",
        "## Speed",
        "",
        *speed_lines(numbers["speed"]["all"]),
        "",
        LIMITS,
    ]
    return "\n".join(text) + "\n"


LIMITS = """\
## Where it applies, and where not

- `smoacs` refuses elements that are not in the training data. Oxides are most of the data; rare
  combinations of elements are predicted by resemblance.
- `in_domain` in the result table says whether elements, density and distances are those of the
  training crystals; it does not say that the prediction is right.
- Band gaps are PBE's: smaller than measured ones, often by half, and zero for some real insulators.
  No spin-orbit coupling: gaps of heavy elements come out too large.
- Energies above hull are those of relaxed crystals, against the hull of the training data. That of
  a soft mixture of elements means nothing.
- Designs are where a gradient found the wanted numbers, so errors on designs are larger than those
  on test crystals, and so may be the share outside the spread. Check them by something that took no
  part in the design."""


def domain_lines(network: NetworkPredictor) -> list[str]:
    """What the training covers."""
    domain = network.header.domain
    if domain is None:
        return []
    ranges = "; ".join(
        f"{name.replace('_', ' ')} {low:g} to {high:g}"
        for name, (low, high) in domain.ranges.items()
    )
    rare = [name for name, count in domain.element_counts.items() if count < 20]
    lines = [f"- what the relaxed training crystals cover (all but 0.2 % at each end): {ranges}"]
    if rare:
        lines.append(f"- in fewer than 20 training crystals: {', '.join(rare)}")
    return lines


def error_table(report: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Errors as a table."""
    lines = [
        f"| property | crystals | all sizes | at most {SMALL} atoms | always the median |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, row in report.items():
        lines.append(
            f"| {name} | {row['n']:,} | {row['mae']:.3g} | {row['mae_small']:.3g} | "
            f"{row['mae_of_median']:.3g} |"
        )
        if "mae_log10" in row:
            lines.append(
                f"| log10 {name} | {row['n']:,} | {row['mae_log10']:.3g} | "
                f"{row['mae_log10_small']:.3g} | |"
            )
    return lines


def spread_table(report: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Calibration as a table."""
    return [
        "How well the standard deviation tells the size of the error, on the test splits:",
        "",
        "| property | rank correlation with the error | labels in the 90 % interval |",
        "| --- | --- | --- |",
        *[
            f"| {name} | {row['spearman']:.2f} | {row['covered_by_90_percent']:.1%} |"
            for name, row in report.items()
        ],
    ]


_BY_KIND = (
    "By kinds of chemistry, of which {least} test crystals or more have a label: labels in the 90 "
    "% interval before the spread was widened for kinds (`smoacs.training.spread.widths`, on "
    "validation crystals), and after. What has a gap is not known in advance; it is listed because "
    "it is what designs ask for."
)


def coverage_table(
    after: Mapping[str, Mapping[str, float]], before: Mapping[str, Mapping[str, float]]
) -> list[str]:
    """Coverage by kinds of chemistry as a table, of what has enough crystals."""
    names = list(after)
    kinds = list(dict.fromkeys(kind for row in after.values() for kind in row))
    lines = [
        _BY_KIND.format(least=spread.LEAST),
        "",
        f"| kind | {' | '.join(names)} |",
        "| --- |" + " --- |" * len(names),
    ]
    for kind in kinds:
        cells = [
            f"{before[name][kind]:.1%} → {after[name][kind]:.1%}" if kind in after[name] else ""
            for name in names
        ]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return lines


def off_lines(row: Mapping[str, float]) -> list[str]:
    """Measurements off equilibrium in words."""
    lines = [
        (
            "- energy over volume, held-out crystals, 0.85 to 1.15 in length: "
            f"{row['held_out_both']:.1%} have a single minimum within 4 % in length of the DFT "
            "cell;"
        ),
        (
            "- squeezed from 0.85 to 0.6 in length the formation energy rises at every step for "
            f"{row['rises_monotonically_below_0.85']:.1%};"
        ),
        (
            "- the steepest change of the band gap with strain, within ±3 %: median "
            f"{row['median_max_gap_slope_eV']:.2f} eV per unit strain, "
            f"{row['median_max_gap_slope_insulators_eV']:.2f} for those with a gap;"
        ),
        (
            "- turning one element of a crystal into another, the formation energy dips below "
            "both ends "
            f"by {row['swap_dip_mean']:.3f} eV/atom on average, "
            f"{row['swap_dip_95th_percentile']:.3f} "
            "at the 95th percentile;"
        ),
        (
            "- random soft mixtures in perovskite cells: "
            f"{row['hull_soft_mixtures']:.2f} eV/atom above hull on average, real decorations "
            "of the "
            f"same cells {row['hull_real_decorations']:.2f}."
        ),
    ]
    if "below_chgnet_by_half_an_eV" in row:
        share = row["below_chgnet_by_half_an_eV"]
        lines.append(
            f"- random perovskites of 2 to 10 Å: {share:.1%} lie more than 0.5 eV/atom below "
            "CHGNet's energy."
        )
    return lines


def relaxation_lines(report: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Relaxations in words."""
    dft, clock = report["dft"], report["clock"]
    lines = [
        (
            f"- {dft['crystals']} held-out crystals, strained by up to 8 % and rattled by 0.1 "
            "Å: lattice "
            f"lengths end {dft['median_length_error']:.1%} from the DFT cell (median; they start "
            f"{dft['median_length_error_before']:.1%} off);"
        ),
        (
            f"- {clock['cells']} five-atom cells relax in {clock['seconds']:.0f} s; "
            f"{clock['at_rest']:.0%} come to rest."
        ),
    ]
    if "chgnet" in report:
        free, kept = report["chgnet"], report["chgnet_space_group_kept"]
        rattled = report["chgnet_rattled"]
        lines.append(
            f"- {free['perovskites']} random perovskites in cubes of 3 to 6 Å, against CHGNet's "
            f"own relaxation, both to {relaxation.FMAX:g} eV/Å: {_agreement(free)}. With the space "
            f"group kept in both, as in a design: {_agreement(kept)}. CHGNet leaves some of the "
            "symmetric saddle points by "
            "rounding alone."
        )
        own = report["chgnet_own"]
        lines.append(
            "- By CHGNet's own optimiser as it comes, which stops at "
            f"{relaxation.OWN_FMAX:g} eV/Å, ours at the same, free: {_agreement(own)}. Our "
            f"optimiser on CHGNet: {_both(own, 'our_optimiser_')}."
        )
        lines.append(
            "- From cubes rattled by 0.1 Å, both to "
            f"{relaxation.FMAX:g} eV/Å, free: all lattice lengths within 4 % for "
            f"{rattled['all_lengths_within_4_percent']:.1%}, their geometric mean for "
            f"{rattled['mean_length_within_4_percent']:.1%} (CHGNet with itself, from cubes "
            f"rattled anew: {_both(rattled, 'itself_anew_')}; from starts "
            f"{relaxation.BESIDE:g} Å apart: {_both(rattled, 'itself_')}): tilts and shears differ."
        )
    return lines


def _agreement(row: Mapping[str, float]) -> str:
    return (
        f"all lattice lengths within 4 % for {row['all_lengths_within_4_percent']:.1%}, their "
        f"geometric mean for {row['mean_length_within_4_percent']:.1%} (CHGNet with itself from "
        f"other cubes: {_both(row, 'itself_')})"
    )


def _both(row: Mapping[str, float], of: str) -> str:
    """Shares within 4 % in all lengths, and in their geometric mean."""
    return " and ".join(f"{row[f'{of}{key}_within_4_percent']:.1%}" for key in LENGTHS)


def speed_lines(row: Mapping[str, float]) -> list[str]:
    """Costs in words."""
    return [
        (
            f"Forward and backward for {row['cells']} five-atom cells on one core: one member "
            "with one "
            f"property {row['single_member_s']:.2f} s, the ensemble with all {row['properties']} "
            f"properties {row['ensemble_s']:.2f} s ({row['ratio']:.2f} times as much). One "
            "step of the "
            f"optimiser for as many candidates: {row['step_s']:.2f} s."
        )
    ]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="Write a model card.")
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--predictor", default=BUILTIN, help="name of weights or a weights file")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--chgnet", action="store_true")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    predictor = load_predictor(args.predictor, device="cpu")
    network = network_of(predictor)
    sizes = QUICK if args.quick else Sizes()
    numbers = measure(predictor, args.predictor, args.data, sizes, chgnet=args.chgnet)
    size = sum(t.numel() * t.element_size() for t in network.network.state_dict().values()) / 1e6
    args.out.write_text(card(network, numbers, size=size), encoding="utf-8")
    args.out.with_suffix(".json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
