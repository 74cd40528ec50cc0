"""Crystals away from equilibrium, labelled by an interatomic potential, and where they rest."""
