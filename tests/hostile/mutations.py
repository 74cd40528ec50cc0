"""Inputs that nobody should give, drawn from seeds: settings, files, command lines, headers.

Each has a number, so that one that was found to do harm is given again by that number.
"""

import copy
import json
import random
import re
import struct

import tomli_w

NASTY_NUMBERS = (
    *(0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**26, 10**400),
    *(0.5, -0.0, 1e-300, 1e300, float("inf"), float("-inf"), float("nan")),
)
NASTY_TEXTS = (
    *("", " ", "\0" * 1_000, "a" * 5_000, "\n" * 50, "±", "é" * 300, "\u202e", "𝔸"),
    *("../../x", "/", "~", "os:system", "builtins:exit", "nan", "None", "'", '"', "%s%n", "{0}"),
    *("-", "--", "=", "K=", "=K", "A=B=C", "Li=1e9", "Xx", "lead", "!", "!K", "no-toxic", "meta"),
    *("privateuseone", "cuda:99", "cpu:-1", "postgresql://u:secret@[::1/x", "sqlite://x", "x.db"),
    *("band_gap > 1e300", "band_gap = 2 ± 1e-300", "band_gap > nan", "maximize", "x" * 90 + " > 1"),
)
NUMBERS_IN_FILES = (
    "nan",
    "inf",
    "-1",
    "0",
    "1e300",
    "1000000000",
    "-0.0",
    "1e-300",
    "x",
    "9" * 400,
)


def _draws(seed):
    return random.Random(seed)  # noqa: S311 - no secrets


def nasty_value(draw, depth=0):
    """Anything that a setting or an entry of a header may be by mistake or malice."""
    makers = [
        lambda: draw.choice(NASTY_NUMBERS),
        lambda: draw.choice(NASTY_TEXTS),
        lambda: draw.choice(NASTY_TEXTS),
        lambda: draw.choice((True, False, [], {})),
    ]
    if depth < 3:
        makers += [
            lambda: [nasty_value(draw, depth + 1) for _ in range(draw.randrange(1, 4))],
            lambda: {draw.choice(NASTY_TEXTS): nasty_value(draw, depth + 1)},
            lambda: nested(draw.choice((3, 1_000))),
        ]
    return draw.choice(makers)()


def nested(depth):
    """A list in a list in a list ..."""
    value = 1.0
    for _ in range(depth):
        value = [value]
    return value


def mutated_tree(draw, tree):
    """A copy of nested tables and lists with one to three of its values replaced or removed."""
    tree = copy.deepcopy(tree)
    for _ in range(draw.randrange(1, 4)):
        node = tree
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = draw.choice(keys)
            below = node[key]
            if isinstance(below, dict | list) and below and draw.random() < 0.6:
                node = below
                continue
            change = draw.random()
            if change < 0.1:
                del node[key]
            elif change < 0.2 and isinstance(node, dict):
                node[draw.choice(NASTY_TEXTS)] = node.pop(key)
            else:
                node[key] = nasty_value(draw)
            break
    return tree


def mutated_text(draw, text):
    """A text with one to four of its pieces changed, as bytes that need not be text any more."""
    data = text.encode() if isinstance(text, str) else text
    for _ in range(draw.randrange(1, 5)):
        data = draw.choice(_CHANGES)(draw, data)
    return data


def _number(draw, data):
    found = list(re.finditer(rb"-?\d+(\.\d+)?", data))
    if not found:
        return data
    match = draw.choice(found)
    return data[: match.start()] + draw.choice(NUMBERS_IN_FILES).encode() + data[match.end() :]


def _flip(draw, data):
    if not data:
        return data
    place = draw.randrange(len(data))
    return data[:place] + bytes([draw.randrange(256)]) + data[place + 1 :]


def _cut(draw, data):
    return data[: draw.randrange(len(data) + 1)]


def _drop(draw, data):
    lines = data.split(b"\n")
    del lines[draw.randrange(len(lines))]
    return b"\n".join(lines)


def _twice(draw, data):
    lines = data.split(b"\n")
    place = draw.randrange(len(lines))
    return b"\n".join([*lines[:place], lines[place], *lines[place:]])


def _insert(draw, data):
    place = draw.randrange(len(data) + 1)
    return data[:place] + draw.choice(NASTY_TEXTS).encode() + data[place:]


def _nest(draw, data):
    place = draw.randrange(len(data) + 1)
    return data[:place] + b"[" * draw.choice((5, 1_000, 100_000)) + data[place:]


_CHANGES = (_number, _number, _flip, _cut, _drop, _twice, _insert, _nest)


SETTINGS = (
    {
        "template": "perovskite",
        "targets": ["band_gap = 2.5 ± 0.2", "formation_energy < -0.5", "maximize density weight 2"],
        "n": 4,
        "steps": 3,
        "seed": 1,
        "repeat": 1,
        "preset": "default",
        "search": "gradient",
        "rest": "symmetry",
        "conservative": 0.5,
        "device": "cpu",
        "batch_size": 4,
        "forbidden": ["Pb", "no-toxic"],
        "sites": {"A": ["K", "Rb"], "X": "F Cl"},
        "lattice": {"a": [3.8, 4.2], "gamma": 90},
        "frozen": ["A"],
        "max_displacement": {"X": 0.05},
        "min_distance": 0.6,
        "symmetry": "free",
    },
    {
        "template": "rutile",
        "targets": ["0.1 <= band_gap <= 3", "minimize energy_above_hull"],
        "n": 3,
        "steps": 2,
        "elements": ["Ti", "Sn", "O", "F", "Mg", "Li"],
        "required": ["Ti"],
        "counts": {"Ti": 1},
        "max_elements": {"all": 3},
        "oxidation_table": "smact",
        "oxidation_states": {"Ti": [3, 4]},
        "same": ["X"],
        "pareto": False,
        "search": "exhaustive",
        "rest": "none",
        "database": "designs.db",
    },
    {
        "template": "seed.cif",
        "targets": ["density > 1"],
        "functions": [],
        "n": 2,
        "steps": 2,
        "repeat": 2,
        "ratios": {"Na": {"K": 0.5, "Na": 0.5}},
        "site_charges": {"Na": [1]},
        "distance_radii": "ionic",
        "predictor": "tiny.safetensors",
    },
)


def settings_file(number):
    """Bytes of a TOML file: settings with other values, or a file that is damaged."""
    draw = _draws(f"settings {number}")
    base = draw.choice(SETTINGS)
    if number % 3:
        tree = mutated_tree(draw, base)
        try:
            return tomli_w.dumps(tree).encode("utf-8", "surrogatepass")
        except (TypeError, ValueError, RecursionError):
            base = SETTINGS[0]
    return mutated_text(draw, tomli_w.dumps(base))


CIF = """data_NaCl
_symmetry_space_group_name_H-M 'P 1'
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.70
_cell_angle_alpha 90
_cell_angle_beta 91
_cell_angle_gamma 90
loop_
_symmetry_equiv_pos_as_xyz
'x, y, z'
loop_
_atom_site_type_symbol
_atom_site_label
_atom_site_occupancy
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Na Na1 1 0.0 0.0 0.0
Cl Cl1 1 0.5 0.5 0.5
"""
POSCAR = """NaCl
1.0
5.64 0.0 0.0
0.0 5.64 0.0
0.1 0.0 5.64
Na Cl
1 1
direct
0.0 0.0 0.0 Na
0.5 0.5 0.5 Cl
"""
EXTXYZ = """2
Lattice="5.64 0 0 0 5.64 0 0 0.1 5.64" Properties=species:S:1:pos:R:3 pbc="T T T"
Na 0.0 0.0 0.0
Cl 2.82 2.82 2.82
2
Lattice="4.2 0 0 0 4.2 0 0 0 4.2" Properties=species:S:1:pos:R:3:oxidation_states:R:1 pbc="T T T"
Mg 0.0 0.0 0.0 2
O 2.1 2.1 2.1 -2
"""
XSF = """CRYSTAL
PRIMVEC
5.64 0.0 0.0
0.0 5.64 0.0
0.0 0.0 5.64
PRIMCOORD
2 1
11 0.0 0.0 0.0
17 2.82 2.82 2.82
"""
JSON = json.dumps(
    {
        "@module": "pymatgen.core.structure",
        "@class": "Structure",
        "lattice": {"matrix": [[5.64, 0.0, 0.0], [0.0, 5.64, 0.0], [0.0, 0.0, 5.64]]},
        "sites": [
            {"species": [{"element": "Na", "occu": 1}], "abc": [0.0, 0.0, 0.0]},
            {"species": [{"element": "Cl", "occu": 1}], "abc": [0.5, 0.5, 0.5]},
        ],
    }
)
STRUCTURES = (
    ("x.cif", CIF),
    ("POSCAR", POSCAR),
    ("x.extxyz", EXTXYZ),
    ("x.xyz", EXTXYZ),
    ("x.vasp", POSCAR),
    ("x.json", JSON),
    ("x.xsf", XSF),
)


def structure_file(number):
    """Name and bytes of a structure file that is damaged."""
    draw = _draws(f"structure {number}")
    name, text = draw.choice(STRUCTURES[:4] * 2 + STRUCTURES)
    if name.endswith(".json") and draw.random() < 0.6:
        return name, _json(mutated_tree(draw, json.loads(text))).encode()
    if draw.random() < 0.05:
        name = draw.choice(("x.yaml", "x.cssr", "CHGCAR", "vasprun.xml", "x.nc", "x", "x.res"))
    return name, mutated_text(draw, text)


COMMANDS = (
    "design perovskite -t density>0.1 -n 3 --steps 2 --out new --predictor tiny.safetensors",
    "design settings.toml --out new --force",
    "design seed.cif -t density>0.1 --site Na=K --count Cl=1 --require K --out new",
    "design rutile -t density>0.1 --elements Ti,O,F --forbid no-toxic --max-elements all=3 -o new",
    "design perovskite -t maximize\u00a0density --conservative 1 --search exhaustive --out run",
    "design perovskite -t density>0.1 --set lattice={a=[3,4]} --database x.db --out new",
    "resume run",
    "relax seed.cif --out new --fmax 0.05 --max-steps 3 --predictor tiny.safetensors",
    "report run",
    "show run 1",
    "show run --sort density --limit 3 --all",
    "check run --potential none --limit 2 --workers 1",
    "check run --potential os:system --dft gpaw --random 3 --seed 2",
    "export run --to cif --out new --all --id 1",
    "export run --to qe --pseudo-dir . --limit 1",
    "judge seed.cif -t density>0.1 --template perovskite --predictor tiny.safetensors --out x.csv",
    "judge seed.cif --rules settings.toml --repeat 1 --rest symmetry",
    "judge seed.cif --benchmark perovskite-2.5",
    "predict seed.cif --predictor tiny.safetensors --device cpu --out x.csv",
    "train train.toml",
    "learn settings.toml --out new --rounds 1 --per-round 2 --dft os:system --best 0.5",
    "learn settings.toml --core-hours 1 --workers 2 --data seed.cif --epochs 1 --tolerance 0.1",
    "templates",
    "predictors",
    "--version",
)


def command_line(number):
    """Arguments of a command, some of them wrong."""
    draw = _draws(f"command {number}")
    words = [word.replace("\u00a0", " ") for word in draw.choice(COMMANDS).split(" ")]
    for _ in range(draw.randrange(1, 4)):
        place = draw.randrange(len(words))
        change = draw.random()
        if change < 0.5:
            value = draw.choice((draw.choice(NASTY_NUMBERS), draw.choice(NASTY_TEXTS)))
            words[place] = str(value) if abs_or_text(value) else "9" * 400
        elif change < 0.6:
            del words[place]
        elif change < 0.7:
            words.insert(place, words[place])
        elif change < 0.8:
            words.insert(place, draw.choice(draw.choice(COMMANDS).split(" ")))
        else:
            text = words[place]
            cut = draw.randrange(len(text) + 1)
            words[place] = text[:cut] + draw.choice(NASTY_TEXTS)[:10] + text[cut + 1 :]
        words = words or ["design"]
    return [word.replace("\0", "\x01") for word in words]  # no argument of a program has a NUL


def _json(tree):
    """Python writes no JSON that is nested a thousand deep; a file may be."""
    try:
        return json.dumps(tree)
    except RecursionError:
        return '{"lattice": ' + "[" * 100_000


def abs_or_text(value):
    """Whether Python writes a value in digits that it reads again."""
    return not isinstance(value, int) or abs(value) < 10**300


def weights_file(number, data):
    """Bytes of a weights file with another header, or that is damaged."""
    draw = _draws(f"weights {number}")
    (length,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    kind = draw.random()
    if kind < 0.15:
        return mutated_text(draw, data)
    if kind < 0.3:
        text = _json(mutated_tree(draw, header)).encode()
        return struct.pack("<Q", len(text)) + text + body
    entry = json.loads(header["__metadata__"]["smoacs"])
    if draw.random() < 0.5:
        del entry["fingerprint"]
    part = draw.choice((None, "settings", "properties"))
    if part is None:
        entry = mutated_tree(draw, entry)
    else:
        entry[part] = mutated_tree(draw, entry[part])
    header["__metadata__"]["smoacs"] = _json(entry)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body
