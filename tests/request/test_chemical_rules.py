"""No candidate breaks a rule on its elements, numbers of atoms or charges; an independent check."""

import itertools
import tomllib
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import smoacs.request.config
from smoacs.chemistry import ELEMENTS, ionic_radius, oxidation_table
from smoacs.crystals import Candidates, DesignSpace
from smoacs.errors import InputError
from smoacs.request import DesignConfig
from smoacs.request.chemical_rules import crystal_rules, legal_moves
from smoacs.search import run_search
from smoacs.search.gradient.copy_mutate import copy_and_mutate
from smoacs.search.gradient.moves import with_variants
from smoacs.templates import build_template
from toys import Bowl

TEMPLATES = (("perovskite", 1), ("rock-salt", 1), ("spinel", 1), ("perovskite", 2))
KINDS = {"perovskite": ("A", "B", "X"), "rock-salt": ("A", "X"), "spinel": ("A", "B", "X")}
SITES = {("perovskite", 1): 1, ("rock-salt", 1): 1, ("spinel", 1): 2, ("perovskite", 2): 8}
SYMBOLS = ("Li", "K", "Ca", "Sr", "Ti", "Fe", "Al", "Y", "O", "S", "F", "Cl")


def broken(asked, symbols, labels, charges):
    """Names of the settings that a crystal does not obey; shares no code with the search."""
    at = {kind: [s for s, label in zip(symbols, labels, strict=True) if label == kind] for kind in
          set(labels)}  # fmt: skip
    at["all"] = list(symbols)
    for kind in set(labels):
        for index, symbol in enumerate(at[kind]):
            at[f"{kind}[{index}]"] = [symbol]
    states = dict(oxidation_table(asked.get("oxidation_table", "icsd")))
    states.update(asked.get("oxidation_states", {}))
    wrong = []
    if sum(charges) != 0 or any(
        q not in states.get(s, ()) for s, q in zip(symbols, charges, strict=True)
    ):
        wrong.append("charges")
    for item in asked.get("required", ()):
        kind, symbol = item.split("=") if "=" in item else ("all", item)
        wrong += ["required"] if symbol not in at[kind] else []
    for symbol, count in asked.get("counts", {}).items():
        wrong += ["counts"] if Counter(symbols)[symbol] != count else []
    for group in asked.get("same", ()):
        wrong += ["same"] if len({s for key in group.split() for s in at[key]}) != 1 else []
    for kind, limit in asked.get("max_elements", {}).items():
        wrong += ["max_elements"] if len(set(at[kind])) > limit else []
    for kind, shares in asked.get("ratios", {}).items():
        found = Counter(at[kind])
        right = {symbol: round(share * len(at[kind])) for symbol, share in shares.items()}
        wrong += ["ratios"] if dict(found) != right else []
    for kind, allowed in asked.get("site_charges", {}).items():
        own = [q for q, label in zip(charges, labels, strict=True) if label == kind]
        wrong += ["site_charges"] if not set(own) <= set(allowed) else []
    return wrong


@st.composite
def requests(draw):
    name, repeat = draw(st.sampled_from(TEMPLATES))
    kinds = KINDS[name]
    n = SITES[name, repeat]
    asked = {"template": name, "repeat": repeat}
    symbol, kind = st.sampled_from(SYMBOLS), st.sampled_from(kinds)
    if draw(st.booleans()):
        item = st.one_of(symbol, st.tuples(kind, symbol).map("=".join))
        asked["required"] = tuple(draw(st.lists(item, min_size=1, max_size=2, unique=True)))
    if draw(st.booleans()):
        asked["counts"] = draw(st.dictionaries(symbol, st.integers(1, 2 * n), min_size=1,
                                               max_size=2))  # fmt: skip
    if name != "rock-salt" and draw(st.booleans()):
        asked["same"] = draw(st.sampled_from((("X",), ("X[0] X[1]",), ("X[0] X[2]", "X[1] X[2]"))))
    if draw(st.booleans()):
        key = st.sampled_from((*kinds, "all"))
        asked["max_elements"] = draw(st.dictionaries(key, st.integers(1, 4), min_size=1,
                                                     max_size=2))  # fmt: skip
    if n == 8 and draw(st.booleans()):
        pair = draw(st.sampled_from((("K", "Li"), ("Sr", "Ca"), ("Y", "Ca"))))
        share = draw(st.sampled_from((0.25, 0.5, 0.875)))
        asked["ratios"] = {"A": dict(zip(pair, (share, 1 - share), strict=True))}
    if draw(st.booleans()):
        asked["site_charges"] = {draw(kind): draw(st.sampled_from(((1,), (2,), (2, 3), (-2,),
                                                                   (-1, -2))))}  # fmt: skip
    if draw(st.booleans()):
        asked["oxidation_states"] = {"Fe": draw(st.sampled_from(((2,), (4,), (2, 3, 4))))}
    return asked


def candidates(config, template, n, seed=0):
    """Discrete crystals of candidates at random scores: symbols and charges of the sites."""
    rules = crystal_rules(config.chemical_rules(template))
    space = DesignSpace.from_templates([template] * n)
    soft = Candidates.start(
        with_variants(space, template, rules, n=n, seed=seed),
        torch.Generator().manual_seed(seed),
        score_noise=10.0,
        combination_noise=10.0,
    )
    return soft, decoded(soft, template)


def decoded(soft, template):
    soft.harden()
    return [
        ([ELEMENTS[e] for e in row], template.combinations[k].tolist())
        for row, k in zip(soft.rows.tolist(), soft.combination.tolist(), strict=True)
    ]


@pytest.fixture(scope="module", autouse=True)
def _built_once():
    """Prototypes take a while to build, and are built again for every request."""
    built = {}

    def build(name, *, repeat, table):
        key = (name, repeat, str(table))
        if key not in built:
            built[key] = build_template(name, repeat=repeat, table=table)
        return built[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(smoacs.request.config, "build_template", build)
        yield


@settings(max_examples=15)
@given(asked=requests())
def test_every_candidate_obeys(asked):
    config = DesignConfig.from_mapping({"targets": ["toy < 1"], **asked})
    try:
        template = config.resolved_template()
    except InputError:
        return  # whether rightly so is tested below
    soft, crystals = candidates(config, template, 6)
    for symbols, charges in crystals:
        assert broken(asked, symbols, template.site_labels, charges) == []
    # Copies take along what they may hold, also at random scores.
    copy_and_mutate(soft, torch.tensor([3, 1, 3, 3, 5, 0]), 10.0, torch.Generator())
    for symbols, charges in decoded(soft, template):
        assert broken(asked, symbols, template.site_labels, charges) == []
    probs, _ = soft.element_probs(0.5)
    assert torch.isfinite(probs).all()
    assert torch.allclose(probs.sum(1), torch.ones(len(probs)), atol=1e-5)


@settings(max_examples=12)
@given(
    asked=requests().filter(lambda asked: asked["repeat"] == 1 and asked["template"] != "spinel")
)
def test_what_is_refused_is_impossible_and_what_is_not_is_possible(asked):
    asked = {**asked, "elements": SYMBOLS}
    config = DesignConfig.from_mapping({"targets": ["toy < 1"], **asked})
    base = DesignConfig.from_mapping(
        {"targets": ["toy < 1"]} | {k: asked[k] for k in ("template", "repeat")}
    ).resolved_template()
    states = dict(oxidation_table("icsd")) | asked.get("oxidation_states", {})
    rows = {tuple(row) for row in base.combinations.tolist()}
    for key, numbers in asked.get("site_charges", {}).items():  # and mixed ones
        for row in list(rows):
            choices = [numbers if label == key else (q,)
                       for q, label in zip(row, base.site_labels, strict=True)]  # fmt: skip
            rows.update(r for r in itertools.product(*choices) if sum(r) == 0)
    coordination = {"A": 12, "B": 6, "X": 6} if asked["template"] == "perovskite" else {}

    def takes(symbol, charge, label):
        fits = label not in coordination or ionic_radius(symbol, charge, coordination[label])
        return bool(fits) and charge in states[symbol]

    possible = any(
        not broken(asked, symbols, base.site_labels, row)
        for row in rows
        for symbols in itertools.product(
            *(
                [s for s in SYMBOLS if takes(s, q, label)]
                for q, label in zip(row, base.site_labels, strict=True)
            )
        )
    )
    if possible:
        assert config.resolved_template().n_combinations >= 1
    else:
        with pytest.raises(InputError):
            config.resolved_template()


RUNS = [
    {"required": ("Ca", "X=S")},
    {"repeat": 2, "counts": {"Sr": 3, "K": 2}, "same": ("X",)},
    {"repeat": 2, "max_elements": {"A": 1, "B": 2, "X": 1}},
    {"repeat": 2, "max_elements": {"all": 3}, "required": ("O",)},
    {
        "repeat": 2,
        "ratios": {"A": {"La": 0.75, "Sr": 0.25}},
        "site_charges": {"A": (2, 3), "B": (3, 4), "X": (-2,)},
        "required": ("B=Mn",),
        "oxidation_states": {"Mn": (3, 4)},
    },
    {
        "template": "spinel",
        "counts": {"Li": 2, "Mn": 4},
        "oxidation_states": {"Mn": (3, 4)},
        "site_charges": {"A": (1,), "B": (3, 4)},
        "max_elements": {"X": 1},
    },
    {"template": "rock-salt", "repeat": 2, "max_elements": {"A": 2}, "counts": {"Mg": 5}},
]


@pytest.mark.parametrize(
    ("asked", "preset"), [(asked, "default") for asked in RUNS] + [(RUNS[0], "paper")]
)
def test_every_design_obeys(asked, preset):
    steps = 104 if preset == "paper" else 25  # the paper's copies are made after 100
    config = DesignConfig.from_mapping(
        {"targets": ["toy < 0.2"], "n": 4, "steps": steps, "preset": preset, "device": "cpu"}
        | asked
    )
    result = run_search(config, predictor=Bowl())
    for structure in result.structures:
        symbols = [site.specie.symbol for site in structure]
        charges = [int(site.specie.oxi_state) for site in structure]
        assert broken(asked, symbols, result.template.site_labels, charges) == []


def test_the_discrete_stage_leaves_the_palette_that_was_drawn():
    asked = {"max_elements": {"A": 1, "B": 1, "X": 1}, "repeat": 2}
    config = DesignConfig.from_mapping(
        {"targets": ["toy < 0.01"], "n": 8, "steps": 80, "device": "cpu", **asked}
    )
    result = run_search(config, predictor=Bowl())
    template = result.template
    _, started = candidates(config, template, 8, config.seed)
    cost = Bowl().cost.numpy()

    def mean_cost(symbols):
        return np.mean([cost[ELEMENTS.index(symbol)] for symbol in symbols])

    before = [mean_cost(symbols) for symbols, _ in started]
    after = [mean_cost([site.specie.symbol for site in s]) for s in result.structures]
    assert np.mean(after) < 0.7 * np.mean(before)


def test_the_seed_draws_the_variants():
    config = DesignConfig(targets=("toy < 1",), required=("Li",), max_elements={"X": 2}, repeat=2)
    template = config.resolved_template()
    first, again = (candidates(config, template, 6, 3)[1] for _ in range(2))
    assert first == again
    assert candidates(config, template, 3, 3)[1] != candidates(config, template, 3, 4)[1]
    assert len({tuple(symbols) for symbols, _ in first}) == 6


def test_required_elements_are_drawn_on_all_sites_that_fit():
    config = DesignConfig(targets=("toy < 1",), counts={"Ti": 1}, repeat=2, elements="Ca Ti Zr O")
    template = config.resolved_template()
    _, crystals = candidates(config, template, 64)
    assert {symbols.index("Ti") for symbols, _ in crystals} == set(range(8, 16))  # all sites B


@settings(max_examples=12)
@given(data=st.data())
def test_legal_moves_are_those_that_keep_the_rules(data):
    asked = {
        "counts": {"Ca": 2},
        "required": ("A=Sr", "O"),
        "max_elements": {"A": 2, "X": 2, "all": 5},
        "repeat": 2,
        "template": "perovskite",
    }
    config = DesignConfig.from_mapping({"targets": ["toy < 1"], **asked})
    template = config.resolved_template()
    seed = data.draw(st.integers(0, 10**6))
    _, [(symbols, _)] = candidates(config, template, 1, seed)
    elements = np.array([ELEMENTS.index(symbol) for symbol in symbols])
    groups = [np.array([site]) for site in range(len(elements))]
    groups += [np.flatnonzero(elements == e) for e in np.unique(elements)]
    legal = legal_moves(crystal_rules(config.chemical_rules(template)), elements, groups)
    rules_only = {k: v for k, v in asked.items() if k in ("counts", "required", "max_elements")}
    for row, group in enumerate(groups):
        for symbol in ("Ca", "Sr", "Ba", "O", "F", "Ti", *set(symbols)):
            if symbol == symbols[group[0]]:
                continue
            changed = list(symbols)
            for site in group:
                changed[site] = symbol
            wrong = set(broken(rules_only, changed, template.site_labels, [0] * len(changed)))
            assert legal[row, ELEMENTS.index(symbol)] == (not wrong - {"charges"})


def test_mixed_valence_on_equivalent_sites():
    config = DesignConfig(
        targets=("toy < 1",),
        template="spinel",
        elements="Fe O",
        site_charges={"A": 3, "B": [2, 3]},
    )
    template = config.resolved_template()
    labels = np.array(template.site_labels)
    for row in template.combinations:
        assert sorted(row[labels == "B"].tolist()) == [2, 2, 3, 3]  # magnetite, an inverse spinel
        assert set(row[labels == "A"].tolist()) == {3}
    assert template.n_combinations > 1  # several ways to order the charges
    assert template.combination_names[0].startswith("A+3 B+2x2 B+3x2 X-2")


def test_without_rules_nothing_is_drawn():
    config = DesignConfig(targets=("toy < 1",))
    template = config.resolved_template()
    space = DesignSpace.from_templates([template] * 2)
    assert with_variants(space, template, [], n=2, seed=0) is space
    assert template.tied_to is None


def test_settings_come_back_from_toml(tmp_path):
    config = DesignConfig.from_mapping(
        {
            "targets": ["toy < 1"],
            "repeat": 2,
            "required": "Li, B = Fe",
            "counts": "Li=2, Fe=1",
            "same": ["X", "A[0], A[1]"],
            "max_elements": ["A=3", "all=9"],
            "ratios": {"B": {"Ti": 0.75, "Fe": 0.25}},
            "oxidation_table": "smact",
            "oxidation_states": {"Fe": "2 +3", "Ti": 4},
            "site_charges": {"B": [3, 4]},
        }
    )
    assert config.required == ("Li", "B=Fe")
    assert config.counts == {"Li": 2, "Fe": 1}
    assert config.same == ("X", "A[0] A[1]")
    assert config.max_elements == {"A": 3, "all": 9}
    assert config.oxidation_states == {"Fe": (2, 3), "Ti": (4,)}
    path = tmp_path / "config.toml"
    path.write_text(config.to_toml(), encoding="utf-8")
    assert DesignConfig.from_toml(path) == config
    assert "counts" not in tomllib.loads(DesignConfig(targets=("toy < 1",)).to_toml())
