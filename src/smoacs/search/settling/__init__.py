"""The search for designs at a real minimum: crystals found at rest in their symmetry are let go."""
