"""Models of matgl give matgl's own numbers, with the repairs that old models need.

No weights can be had here, so these are small models with random weights, saved by matgl itself.
"""

import json
import sys

import pytest
import torch

from smoacs.crystals import Crystals, neighbor_list
from smoacs.errors import InputError, MissingExtraError
from smoacs.predictors import load_predictor
from smoacs.predictors.matgl import load_matgl, parse_argument
from smoacs.predictors.matgl_files import BROKEN_GAP_MEAN
from smoacs.testing import CHECKS, PredictorCheckError, default_crystals
from toys import random_structures

TOLERANCE = 1e-5
ELEMENTS = ("O", "F", "Na", "Cl", "Ca", "Ti", "Sr", "H", "I", "Pb")
ABRUPT = {("MEGNet", "cutoff")}
"""MEGNet's edges end abruptly at the cutoff."""


@pytest.fixture(scope="module")
def zoo():
    """Classes of matgl, by name."""
    reason = "needs the extra matgl"
    models = pytest.importorskip("matgl.models", reason=reason)
    transformer = pytest.importorskip("matgl.data.transformer", reason=reason)
    return {**vars(models), **vars(transformer)}


def small_model(zoo, kind, *, mean=-1.5, strength=2.0, **settings):
    """Small, and strong enough that its value depends on the crystal."""
    torch.manual_seed(0)
    sizes = {
        "MEGNet": {"nblocks": 2, "dim_edge_embedding": 20},
        "M3GNet": {"nblocks": 2, "units": 16, "dim_node_embedding": 16, "dim_edge_embedding": 16},
    }[kind]
    model = zoo[kind](element_types=ELEMENTS, **sizes, **settings)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.mul_(strength)
    return zoo["TransformedTargetModel"](model.eval(), zoo["Normalizer"](mean, 1.1))


@pytest.fixture(scope="module", params=["MEGNet", "M3GNet", "M3GNet set2set"])
def pair(request, zoo, tmp_path_factory):
    """A model of matgl, and the same as a predictor."""
    kind, *set2set = request.param.split()
    settings = {"readout_type": "set2set", "threebody_cutoff": 5.0} if set2set else {}
    model = small_model(zoo, kind, **settings)
    folder = tmp_path_factory.mktemp("model")
    model.save(folder)
    return model, load_matgl("cpu", f"{folder},property=formation_energy"), folder


def values_of(predictor, structures):
    crystals = Crystals.from_structures(structures)
    with torch.no_grad():
        out = predictor(crystals, neighbor_list(crystals, predictor.cutoff))
    (values,) = out.values()
    return values.tolist()


def structures():
    own = default_crystals(frozenset(ELEMENTS)).to_structures()
    others = random_structures(3, [1, 2, 6])
    for structure in others:
        used = {e.symbol for e in structure.elements} - set(ELEMENTS)
        structure.replace_species(dict.fromkeys(used, "Ti"))
    return own + others


def own_values(model, structures):
    return [float(model.predict_structure(structure)) for structure in structures]


def test_values_are_those_of_matgl(pair):
    model, predictor, _ = pair
    expected = own_values(model, structures())
    assert max(expected) - min(expected) > 0.01
    assert values_of(predictor, structures()) == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize("check", CHECKS)
def test_kit(pair, check):
    model, predictor, _ = pair
    if (type(model.model).__name__, check) in ABRUPT:
        with pytest.raises(PredictorCheckError, match="cutoff"):
            CHECKS[check](predictor)
    else:
        CHECKS[check](predictor)


def test_what_the_predictor_says_of_itself(pair):
    model, predictor, folder = pair
    assert predictor.properties == {"formation_energy": "eV/atom"}
    assert predictor.elements == set(ELEMENTS)
    assert predictor.cutoff == model.model.cutoff
    loaded = load_predictor(f"matgl:{folder},property=formation_energy", device="cpu")
    assert {"formation_energy", "density"} <= set(loaded.properties)


def test_multi_fidelity_models_use_their_first_fidelity(zoo, tmp_path):
    model = small_model(zoo, "MEGNet", ntypes_state=3, dim_state_embedding=4)
    model.save(tmp_path)
    predictor = load_matgl("cpu", f"{tmp_path},property=band_gap")
    state = torch.zeros(1, dtype=torch.int64)
    expected = [float(model.predict_structure(s, state_attr=state)) for s in structures()]
    assert values_of(predictor, structures()) == pytest.approx(expected, abs=TOLERANCE)


def sums_at_destination(monkeypatch, zoo):
    """Let matgl itself do what it did with DGL."""
    from matgl.layers import _graph_convolution as layers  # noqa: PLC0415
    from matgl.utils.maths import scatter_mean  # noqa: PLC0415

    def megnet(self, edges, edge, node, state, n):
        mean = scatter_mean(edge, edges[1], dim_size=n, dim=0)
        return self.node_func(torch.hstack([node, mean, state]))

    def m3gnet(self, edges, edge, node, radial, state, n):
        inputs = torch.hstack([node[edges[0]], node[edges[1]], edge])
        message = self.node_update_func(inputs) * self.node_weight_func(radial)
        return torch.zeros(n, message.shape[1]).index_add(0, edges[1], message)

    monkeypatch.setattr(layers.MEGNetGraphConv, "node_update_", megnet)
    monkeypatch.setattr(layers.M3GNetGraphConv, "node_update_", m3gnet)


@pytest.mark.parametrize("kind", ["MEGNet", "M3GNet"])
@pytest.mark.parametrize("recognised", [True, False])
def test_models_of_dgls_time(zoo, tmp_path, monkeypatch, kind, recognised):
    settings = {"readout_type": "set2set"} if kind == "M3GNet" else {}
    model = small_model(zoo, kind, strength=2.5, **settings)
    model.save(tmp_path)
    if recognised and kind == "MEGNet":
        _change(tmp_path / "model.pt", zoo, lambda d: d["model"]["init_args"].update(_OLD))
    elif recognised:
        _change(tmp_path / "state.pt", zoo, _rename)
    option = "" if recognised else ",messages=destination"
    values = values_of(
        load_matgl("cpu", f"{tmp_path},property=formation_energy{option}"), structures()
    )
    new = own_values(model, structures())
    sums_at_destination(monkeypatch, zoo)
    old = own_values(model, structures())
    assert max(abs(a - b) for a, b in zip(new, old, strict=True)) > 100 * TOLERANCE
    assert values == pytest.approx(old, abs=TOLERANCE, rel=1e-6)


_OLD = {"graph_transformations": None}


def _rename(state):
    for name in [name for name in state if name.startswith("model.readout.")]:
        state[name.replace("readout.", "readout.set2set.")] = state.pop(name)


def _change(path, zoo, change):
    with torch.serialization.safe_globals([zoo["Normalizer"]]):
        stored = torch.load(path, weights_only=True)
    change(stored)
    torch.save(stored, path)


def test_the_broken_gap_model_is_refused(zoo, tmp_path):
    small_model(zoo, "MEGNet", mean=BROKEN_GAP_MEAN).save(tmp_path)
    with pytest.raises(InputError, match=r"gap of about 0 eV.*issues/657"):
        load_matgl("cpu", f"{tmp_path},property=band_gap")


def test_property_and_unit_from_the_metadata_and_the_name(zoo, tmp_path):
    model = small_model(zoo, "MEGNet")
    model.save(tmp_path / "a", metadata={"property": "hardness", "unit": "GPa"})
    assert load_matgl("cpu", f"{tmp_path}/a").properties == {"hardness": "GPa"}
    model.save(tmp_path / "MEGNet-Eform-mine")
    named = load_matgl("cpu", f"{tmp_path}/MEGNet-Eform-mine")
    assert named.properties == {"formation_energy": "eV/atom"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "say what .* predicts"),
        (",property=hardness", "say the unit of hardness"),
        (",property=band_gap,unit=meV", "band_gap is in eV"),
    ],
)
def test_property_or_unit_unknown(zoo, tmp_path, options, message):
    small_model(zoo, "MEGNet").save(tmp_path)
    with pytest.raises(InputError, match=message):
        load_matgl("cpu", f"{tmp_path}{options}")


def test_models_that_cannot_be_predictors(zoo, tmp_path):
    settings = {"element_types": ELEMENTS, "units": 8}
    zoo["M3GNet"](is_intensive=False, **settings).save(tmp_path)
    with pytest.raises(InputError, match="one intensive value"):
        load_matgl("cpu", f"{tmp_path},property=energy")
    zoo["TensorNet"](element_types=ELEMENTS, units=8).save(tmp_path)
    with pytest.raises(InputError, match="TensorNet: smoacs reads MEGNet and M3GNet"):
        load_matgl("cpu", f"{tmp_path},property=energy")


class Trap:
    """Its pickle runs something."""

    def __reduce__(self):
        return print, ("you should not see this",)


def test_damaged_files(zoo, tmp_path, capsys):
    small_model(zoo, "MEGNet").save(tmp_path)
    where = f"{tmp_path},property=formation_energy"

    def refuse(name, content, message):
        file = tmp_path / name
        good = file.read_bytes()
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            torch.save(content, file)
        with pytest.raises(InputError, match=message):
            load_matgl("cpu", where)
        file.write_bytes(good)

    refuse("state.pt", b"", "no model that can be read")
    refuse("state.pt", b"not a zip", "no model that can be read")
    refuse("state.pt", {}, r"lack .* \(and \d+ more\)")
    refuse("state.pt", {"model.edge_encoder.layers.0.weight": torch.zeros(3, 3)}, "do not fit")
    refuse("model.pt", Trap(), "no model that can be read")
    refuse("model.json", b"{", "no model that can be read")
    refuse("model.json", json.dumps({"@class": "os"}).encode(), "holds a os")
    (tmp_path / "state.pt").unlink()
    refuse("model.json", b"{}", "lacks state.pt")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("", "matgl:FOLDER"),
        ("./nothing/here", "no folder ./nothing/here"),
        ("x,proprety=y", "no option 'proprety'"),
        ("x,messages=y", '"source" or "destination"'),
    ],
)
def test_arguments_that_make_no_sense(zoo, argument, message):
    with pytest.raises(InputError, match=message):
        load_matgl("cpu", argument)


def test_name_that_hugging_face_does_not_know(zoo, monkeypatch):
    import huggingface_hub  # noqa: PLC0415

    def fetch(owner_and_name, file):
        assert (owner_and_name, file) == ("materialyze/no-model", "model.json")
        raise OSError("no such repository")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    with pytest.raises(InputError, match="no-model is no folder, and Hugging Face"):
        load_matgl("cpu", "no-model")


def test_model_from_hugging_face(zoo, tmp_path, monkeypatch):
    import huggingface_hub  # noqa: PLC0415

    model = small_model(zoo, "MEGNet")
    model.save(tmp_path / "me" / "my-Eform")
    monkeypatch.setattr(
        huggingface_hub, "hf_hub_download", lambda name, file: str(tmp_path / name / file)
    )
    predictor = load_matgl("cpu", "me/my-Eform")
    expected = own_values(model, structures())
    assert values_of(predictor, structures()) == pytest.approx(expected, abs=TOLERANCE)


def test_options():
    where, options = parse_argument("a/b,property=band_gap,unit=eV")
    assert (where, options.property, options.unit, options.messages) == (
        "a/b",
        "band_gap",
        "eV",
        None,
    )


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matgl", None)
    with pytest.raises(MissingExtraError, match=r"pip install '\.\[matgl\]'"):
        load_matgl("cpu", "anything")
