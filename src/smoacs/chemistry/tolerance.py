"""Goldschmidt's tolerance factor of perovskites."""

import math


def goldschmidt(r_a: float, r_b: float, r_x: float) -> float:
    """Tolerance factor t = (r_A + r_X) / (√2 (r_B + r_X)) of ABX3; 1 in the ideal cube.

    V. M. Goldschmidt, Naturwissenschaften 14, 477 (1926).

    Args:
        r_a: Ionic radius (Å) of the twelve-coordinated cation.
        r_b: Ionic radius (Å) of the cation in the octahedron.
        r_x: Ionic radius (Å) of the anion.
    """
    return (r_a + r_x) / (math.sqrt(2.0) * (r_b + r_x))
