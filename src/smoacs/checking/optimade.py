"""What an OPTIMADE server knows of some formulas (https://www.optimade.org)."""

import contextlib
import io
import re
import warnings
from collections.abc import Iterator, Mapping
from math import gcd
from typing import Any, Final

import numpy as np
from pymatgen.core import Composition, Structure

from smoacs.chemistry import ELEMENTS
from smoacs.errors import MissingExtraError, ResourceError, short

_FORMULAS_PER_QUERY: Final = 20
_TIMEOUT: Final = 60.0
"""Seconds to wait for an answer."""

_RETRIES: Final = 3
_WAIT: Final = 1.0
"""Seconds before a server that is asked too often is asked again: this, twice and four times."""


def optimade_entries(
    address: str, formulas: set[str]
) -> Iterator[tuple[str, str, Structure | None]]:
    """Ask a server for the crystals of some formulas, a few formulas at a time.

    Args:
        address: Base address, with or without the version (`/v1`) that servers give it.
        formulas: Reduced formulas.

    Yields:
        Reduced formula, the server's name of the entry, crystal (None if it is disordered).

    Raises:
        MissingExtraError: The OPTIMADE client is not installed.
        ResourceError: The server does not answer, or not as OPTIMADE asks for.
    """
    client = _client(re.sub(r"/v1(\.\d+)*$", "", address.rstrip("/")))
    names = {_alphabetical(formula): formula for formula in sorted(formulas)}
    keys = list(names)
    for start in range(0, len(keys), _FORMULAS_PER_QUERY):
        part = keys[start : start + _FORMULAS_PER_QUERY]
        query = " OR ".join(f'chemical_formula_reduced="{key}"' for key in part)
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # it prints whole answers there
                answer = client.get(query)
        except RuntimeError as error:
            raise ResourceError(_failure(address, str(error))) from error
        for result in answer["structures"][query].values():
            if result["errors"]:
                raise ResourceError(_failure(address, str(result["errors"][0])))
            for entry in result["data"]:
                fields = entry["attributes"]
                formula = names.get(fields["chemical_formula_reduced"])
                if formula is not None:
                    yield formula, str(entry["id"]), _crystal(fields)


def _client(address: str) -> Any:  # noqa: ANN401 - an extra
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import requests  # noqa: PLC0415 - comes with the extra
            from optimade.client import OptimadeClient  # noqa: PLC0415
            from requests.adapters import HTTPAdapter  # noqa: PLC0415
            from urllib3 import Retry  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError.of(
            "a reference on an OPTIMADE server needs its client", "optimade"
        ) from error

    class Session(requests.Session):
        """One that gives up: the client itself asks for ever where it is told to wait."""

        def __init__(self) -> None:
            super().__init__()
            busy = Retry(
                total=_RETRIES,
                connect=0,
                read=0,
                status_forcelist=(429,),
                backoff_factor=_WAIT,
                respect_retry_after_header=False,
            )
            for scheme in ("http://", "https://"):
                self.mount(scheme, HTTPAdapter(max_retries=busy))

    return OptimadeClient(
        base_urls=[address],
        max_results_per_provider=0,
        http_timeout=_TIMEOUT,
        http_client=Session,
        use_async=False,
        silent=True,
    )


def _failure(address: str, said: str) -> str:
    """One short sentence for what a client says in a page."""
    text = " ".join(said.split())
    status = re.match(r"RuntimeError: (\d{3}) - ", text)
    if "too many 429" in text:
        why = "it is asked too often; try again later"
    elif status:
        why = f"it answers with the status {status[1]}"
    elif "Could not decode" in text:
        why = "its answer is not that of an OPTIMADE server"
    elif re.match(r"Connect(ion|Timeout)|RetryError|ReadTimeout", text):
        why = "it cannot be reached"
    else:
        why = short(text, 120)
    return f"{short(address)}: the OPTIMADE server failed: {why}"


def _alphabetical(formula: str) -> str:
    """Elements in alphabetical order with smallest whole numbers, 1 left out, such as F3KMg."""
    counts = {str(element): round(n) for element, n in Composition(formula).items()}
    divisor = gcd(*counts.values())
    parts = sorted((name, n // divisor) for name, n in counts.items())
    return "".join(name + (str(n) if n > 1 else "") for name, n in parts)


def _crystal(fields: Mapping[str, Any]) -> Structure | None:
    """The crystal of an entry; None if it is disordered, or comes without positions."""
    species = {item["name"]: item["chemical_symbols"] for item in fields.get("species") or ()}
    sites, cell = fields.get("species_at_sites"), fields.get("lattice_vectors")
    positions = fields.get("cartesian_site_positions")
    if not sites or not positions or cell is None or None in np.ravel(cell):
        return None
    symbols = [species.get(site, [site]) for site in sites]
    if any(len(names) != 1 or names[0] not in ELEMENTS for names in symbols):
        return None
    return Structure(cell, [names[0] for names in symbols], positions, coords_are_cartesian=True)
