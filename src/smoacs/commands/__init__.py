"""Commands of the command line, one module each; `smoacs.cli` gathers them."""
