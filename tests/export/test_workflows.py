"""The workflow, with stand-ins for jobflow and atomate2 that have their interface."""

import sys
import types

import pytest

from smoacs.errors import InputError, MissingExtraError
from smoacs.export import choose_designs, relaxation_flow


class Job:
    def __init__(self, name, structure, prev_dir=None):
        self.name, self.structure, self.prev_dir = name, structure, prev_dir
        self.output = types.SimpleNamespace(structure=(name, "structure"), dir_name=(name, "dir"))


class Flow:
    def __init__(self, jobs, output=None, name="Flow"):
        self.jobs, self.output, self.name = jobs, output, name

    def update_metadata(self, update):
        self.metadata = update


def _maker(name):
    class Maker:
        def make(self, structure, prev_dir=None):
            return Job(name, structure, prev_dir)

    return Maker


@pytest.fixture
def _stand_ins(monkeypatch):
    jobflow = types.ModuleType("jobflow")
    jobflow.Flow = Flow
    jobs = types.ModuleType("atomate2.vasp.jobs.mp")
    jobs.MPGGARelaxMaker, jobs.MPGGAStaticMaker = _maker("relax"), _maker("static")
    monkeypatch.setitem(sys.modules, "jobflow", jobflow)
    for name in ("atomate2", "atomate2.vasp", "atomate2.vasp.jobs"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "atomate2.vasp.jobs.mp", jobs)


@pytest.mark.usefixtures("_stand_ins")
def test_each_design_is_relaxed_and_then_calculated(folder, crystals):
    flow = relaxation_flow(choose_designs(folder), name="mine")
    assert flow.name == "mine"
    assert [part.name.partition("_")[2] for part in flow.jobs] == list(crystals)
    for part, crystal in zip(flow.jobs, crystals.values(), strict=True):
        relax, static = part.jobs
        assert relax.structure == crystal.copy().remove_oxidation_states()
        assert static.structure == ("relax", "structure")
        assert static.prev_dir == ("relax", "dir")
        assert part.output is static.output
    assert flow.jobs[1].metadata == {"smoacs_id": "0002", "smoacs_formula": "KFeF3"}


def test_without_atomate2_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "jobflow", None)
    with pytest.raises(MissingExtraError, match=r"\.\[workflows\]"):
        relaxation_flow(choose_designs(folder))


def test_nothing_to_do():
    with pytest.raises(InputError, match="at least one"):
        relaxation_flow([])
