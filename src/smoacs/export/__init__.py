"""Designs passed on: structure files and ready input for VASP, Quantum ESPRESSO and GPAW."""

from smoacs.export.api import FORMATS, default_folder, export_designs
from smoacs.export.design import Design, choose_designs
from smoacs.export.workflows import relaxation_flow

__all__ = [
    "FORMATS",
    "Design",
    "choose_designs",
    "default_folder",
    "export_designs",
    "relaxation_flow",
]
