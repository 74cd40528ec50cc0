"""The decorator that checks annotations while the tests run (see conftest.py)."""

from beartype import BeartypeConf, beartype

# An int is a float, as for mypy.
check = beartype(conf=BeartypeConf(is_pep484_tower=True))
