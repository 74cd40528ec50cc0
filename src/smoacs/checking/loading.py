"""Potentials by their name: SevenNet, CHGNet, DIEP, a Nequix file, any calculator of ASE."""

import hashlib
import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from smoacs.checking.potentials import AsePotential, BatchedPotential, CheckPotential
from smoacs.dft import load_factory
from smoacs.errors import InputError, MissingExtraError, SmoacsError, short

AUTO: Final = "auto"
"""The most accurate potential that is installed: SevenNet-l3i5, or else CHGNet."""

CHGNET: Final = "chgnet"
SEVENNET: Final = "sevennet"
DIEP: Final = "diep"
NEQUIX: Final = "nequix"

_SEVENNET_MODELS: Final = ("", "0", "l3i5")
"""Those that its wheel has weights for and that need no further choice; "" is 0."""


def load_potential(name: str = AUTO) -> CheckPotential:
    """Load the potential that checks.

    Args:
        name: "sevennet:l3i5", "sevennet:0" (or "sevennet"), "chgnet", "diep"; "nequix:FILE", a
            model of Nequix; "module:factory", a function without arguments that returns an ASE
            calculator; or "auto", the first of SevenNet-l3i5 and CHGNet that is installed.

    Raises:
        InputError: There is no such potential.
        MissingExtraError: It is not installed.
    """
    name = _installed() if name == AUTO else name
    kind, _, rest = name.partition(":")
    if name == CHGNET:
        from smoacs.predictors.chgnet import MODEL, load_chgnet  # noqa: PLC0415 - an extra

        return BatchedPotential(f"CHGNet {MODEL}", load_chgnet())
    if kind == SEVENNET:
        return AsePotential(*_sevennet(rest))
    if name == DIEP:
        return AsePotential(*_diep())
    if kind == NEQUIX:
        return AsePotential(*_nequix(rest))
    if ":" in name:
        calculator = _made(name)  # what is wrong with it is better known before the work begins
        return AsePotential(name, lambda: calculator)
    raise InputError(
        f"there is no potential {name!r}; it is {SEVENNET + ':l3i5'!r}, {SEVENNET + ':0'!r}, "
        f"{CHGNET!r}, {DIEP!r}, '{NEQUIX}:FILE' or 'module:factory', a function that returns an "
        "ASE calculator"
    )


def _installed() -> str:
    """Name of the potential that checks where none is named.

    Raises:
        MissingExtraError: None is installed.
    """
    for package, name in (("sevenn", f"{SEVENNET}:l3i5"), ("chgnet", CHGNET)):
        if find_spec(package) is not None:
            return name
    raise MissingExtraError.of(
        "checks need a potential that took no part in the design, SevenNet or CHGNet (or give "
        "--potential, or none)",
        SEVENNET,
    )


def _made(name: str) -> Any:  # noqa: ANN401 - ASE's calculators have no common class
    """What the user's function makes: a calculator of energy, forces and stress.

    Raises:
        InputError: It is no function without arguments, fails, or makes something else.
    """
    factory = load_factory(name)
    try:
        inspect.signature(factory).bind()
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name!r} is no function without arguments that returns an ASE calculator"
        ) from error
    try:
        made = factory()
    except SmoacsError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"{name!r} fails with {type(error).__name__}: {error}") from error
    if not hasattr(made, "get_potential_energy"):
        raise InputError(f"{name!r} returns {short(repr(made))}, which is no ASE calculator")
    return made


def _sevennet(model: str) -> tuple[str, Callable[[], Any]]:
    if model not in _SEVENNET_MODELS:
        raise InputError(
            f"there is no potential {SEVENNET}:{model}; SevenNet's wheel has "
            f"{' and '.join(m for m in _SEVENNET_MODELS if m)}"
        )
    try:
        with _quiet_import():
            from sevenn.calculator import SevenNetCalculator  # noqa: PLC0415 - an extra

            calculator = SevenNetCalculator(f"7net-{model or '0'}", device="cpu")
    except ImportError as error:
        raise MissingExtraError.of("the potential sevennet needs SevenNet", "sevennet") from error
    return f"SevenNet-{model or '0'} ({version('sevenn')})", lambda: calculator


def _diep() -> tuple[str, Callable[[], Any]]:
    try:
        with _quiet_import():
            from diep.pretrained import make_calculator  # noqa: PLC0415 - an extra

            calculator = make_calculator()
    except ImportError as error:
        raise MissingExtraError.of("the potential diep needs DIEP", "diep") from error
    return f"DIEP r2SCAN ({version('diep')})", lambda: calculator


def _nequix(file: str) -> tuple[str, Callable[[], Any]]:
    """A model of Nequix from its file, by the package's own calculator, on the processor.

    Raises:
        InputError: There is no such file, or it holds no model.
        MissingExtraError: Nequix is not installed.
    """
    path = Path(file)
    if not file or not path.is_file():
        raise InputError(
            f"{NEQUIX}:{file}: no such file; it is '{NEQUIX}:FILE', such as nequix-oam-1-pft.nqx"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from nequix.calculator import NequixCalculator  # noqa: PLC0415 - not a dependency
    except ImportError as error:
        raise MissingExtraError(
            f"the potential {NEQUIX} needs its package, and what that needs: pip install nequix "
            f"({error})"
        ) from error
    # .nqx holds a model of JAX, .pt one of torch; its kernels need a GPU.
    backend = "torch" if path.suffix == ".pt" else "jax"
    try:
        calculator = NequixCalculator(model_path=str(path), backend=backend, use_kernel=False)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{path}: holds no model that Nequix reads ({short(reason)})") from error
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    return f"Nequix {path.stem} ({digest})", lambda: calculator


@contextmanager
def _quiet_import() -> Iterator[None]:
    """Keep from users what they can do nothing about.

    Both use what torch is to lose one day, and SevenNet recommends kernels that need a GPU, while
    checks take the processor. Other warnings are shown.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".torch.jit", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message="No tensor product accelerator")
        yield
