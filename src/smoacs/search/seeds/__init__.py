"""A search over many seeds, each with a template of its own."""
