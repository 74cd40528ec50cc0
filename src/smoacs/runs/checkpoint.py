"""A run that is not finished: its folder on disk, from which it goes on after a kill.

While a run goes on, the hidden folder `.NAME.partial` beside the run directory `NAME` holds

- `begun.json` and `config.toml`: what was asked for, and with what (`config.toml` comes last, so a
  folder without it holds nothing of worth);
- `state.pt`: the last state of the search, replaced in one step;
- `finished`: what the search is done with for good (see `finished_parts`);
- `result`: the finished run directory, on its way to `NAME`;
- `replaced`: the run that it takes the place of, until it stands there;
- `lock`: held by the process that works here.

A run is delivered in this order: `result` appears; `config.toml` goes; `result` becomes `NAME`; the
folder goes. So at every moment it can be told how far a kill has let it come.
"""

import contextlib
import hashlib
import json
import logging
import shlex
import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import version
from pathlib import Path

from smoacs.errors import InputError, SmoacsError
from smoacs.files import clear_leftovers, is_workspace, locked, user_path, write_file
from smoacs.interrupt import Interrupt
from smoacs.request import DesignConfig
from smoacs.runs.directory import (
    check_contents,
    check_run_directory,
    is_unfinished,
    unfinished_folder,
)
from smoacs.runs.finished_parts import FinishedParts
from smoacs.runs.marker import CHECKS_FOLDER
from smoacs.runs.saved import read_summary
from smoacs.search.seeds.state import FINISHED
from smoacs.search.state import State
from smoacs.training.checkpoint import load_state, save_state

FORMAT = 2
"""Of the folder and of the state; raised when an older one can no longer be read."""

COST = 0.01
"""Share of the time that checkpoints may take."""

log = logging.getLogger(__name__)


class Unfinished:
    """The folder of a run that is not finished; the process that has it open holds its lock."""

    def __init__(self, out: Path) -> None:
        """Take the final run directory, absolute."""
        self.out = out
        self.folder = unfinished_folder(out)
        self.state_file = self.folder / "state.pt"
        self._finished = finished_folder(self.state_file)
        self.result = self.folder / "result"
        self._config = self.folder / "config.toml"
        self._begun = self.folder / "begun.json"
        self._replaced = self.folder / "replaced"
        # Settings first: a folder without them holds nothing to go on with.
        self._parts = (
            self._config,
            self._begun,
            self.state_file,
            self._finished,
            self.result,
            self._replaced,
        )

    @property
    def result_is_final(self) -> bool:
        """Whether the run is finished, and only has to be moved to its place."""
        return self.result.is_dir() and not is_interrupted(self.result)

    def begin(self, config: DesignConfig, *, force: bool) -> None:
        """Write down what is asked for; an older run that was not finished is forgotten."""
        self.clear()
        text = config.to_toml()
        begun = {
            "format": FORMAT,
            "smoacs": version("smoacs"),
            "replaces": force,
            "files": {str(path): _digest(path) for path in _files(config)},
        }
        write_file(self._begun, json.dumps(begun, indent=2))
        write_file(self._config, text)

    def config(self) -> DesignConfig:
        """What was asked for.

        Raises:
            InputError: This is another version of smoacs, or a file that the run began with has
                changed: the run would not go on as it began.
        """
        begun = json.loads(self._begun.read_text(encoding="utf-8"))
        repeat = f"repeat it with: smoacs design {shlex.quote(str(self._config))} --out NEW"
        if (begun["format"], begun["smoacs"]) != (FORMAT, version("smoacs")):
            raise InputError(
                f"{self.out} was begun with smoacs {begun['smoacs']} and this is "
                f"{version('smoacs')}: resume it with that version, or {repeat}"
            )
        for path, digest in begun["files"].items():
            if not Path(path).exists() or _digest(Path(path)) != digest:
                raise InputError(
                    f"{path} has changed since {self.out} was begun: put the old file back, or "
                    f"{repeat}"
                )
        return DesignConfig.from_toml(self._config)

    def tidy(self) -> None:
        """Undo what a kill left half done: a result of no use, a replaced run not yet back."""
        if self.result.exists() and not self.result_is_final:
            shutil.rmtree(self.result)
        if self._replaced.exists() and not self.out.exists() and not self.result.exists():
            self._replaced.rename(self.out)
        clear_leftovers(self.folder)

    def deliver(self) -> None:
        """Move the result to its place; if it is final, nothing else remains.

        Raises:
            InputError: Something else stands there.
        """
        final = self.result_is_final
        self.check_place()
        self._keep_findings()
        if final:
            self._config.unlink(missing_ok=True)
        if self.out.exists():
            if self._replaced.exists():
                shutil.rmtree(self._replaced)
            self.out.rename(self._replaced)
        self.result.rename(self.out)
        if final:
            self.remove()
        elif self._replaced.exists():
            shutil.rmtree(self._replaced)

    def check_place(self) -> None:
        """Check that nothing is in the way of the result.

        Raises:
            InputError: Something is that would be lost.
        """
        replaces = json.loads(self._begun.read_text(encoding="utf-8"))["replaces"]
        check_contents(self.out, force=replaces or is_interrupted(self.out))

    def _keep_findings(self) -> None:
        """Copy what checks found of this run when it was interrupted; they may have cost days.

        A finding belongs to a crystal, so that another check of the run takes those that still
        hold. Columns of the table belong to candidates, which have moved on.
        """
        findings = self.out / CHECKS_FOLDER
        settings = [folder / "config.toml" for folder in (self.out, self.result)]
        if not (findings.is_dir() and is_interrupted(self.out)):
            return
        if settings[0].is_file() and settings[0].read_bytes() == settings[1].read_bytes():
            shutil.copytree(findings, self.result / CHECKS_FOLDER, dirs_exist_ok=True)
            log.warning(
                "the candidates have changed since they were checked; check them again, which "
                "takes from the folder %s what is known: smoacs check %s",
                CHECKS_FOLDER,
                shlex.quote(str(self.out)),
            )

    def clear(self) -> None:
        """Empty the folder, `config.toml` first."""
        clear_leftovers(self.folder)
        for path in self._parts:
            _remove(path)

    def remove(self) -> None:
        """Remove the folder, if nothing else is in it."""
        with contextlib.suppress(OSError):
            self.clear()
            (self.folder / "lock").unlink(missing_ok=True)
            self.folder.rmdir()

    def check_ours(self) -> None:
        """Check that the folder holds nothing but what we put there.

        Raises:
            InputError: It holds something else.
        """
        ours = {*self._parts, self.folder / "lock"}
        foreign = [p for p in self.folder.iterdir() if p not in ours and not is_workspace(p)]
        if foreign:
            raise InputError(
                f"{self.folder} is where the unfinished run is kept, and holds "
                f"{foreign[0].name!r}, which is not of it: move that away"
            )

    def locked(self) -> AbstractContextManager[None]:
        """Keep other processes out; the folder must exist.

        Raises:
            InputError: Another process works here.
        """
        refusal = f"another process is at work on {self.out}; wait for its end"
        return locked(self.folder / "lock", refusal)


class Checkpoints:
    """Keeps the states of one search in a file; see `smoacs.search.state.Keeper`."""

    def __init__(self, path: Path, interrupt: Interrupt) -> None:
        """Take the file, which need not exist, and what tells of Ctrl-C."""
        self._path = path
        self._finished = FinishedParts(finished_folder(path))
        self._interrupt = interrupt
        self._next = time.perf_counter()
        self._failed = False

    def last(self) -> State | None:
        """State to go on from; None if there is none.

        Raises:
            InputError: The file is damaged.
        """
        if not self._path.is_file():
            return None
        state = load_state(self._path)
        if FINISHED in state:
            state[FINISHED] = self._finished.read(state[FINISHED])
        return state

    @property
    def due(self) -> bool:
        """Whether so much time has passed that another checkpoint is cheap."""
        return time.perf_counter() >= self._next

    @property
    def stop_asked(self) -> bool:
        """Whether the user has pressed Ctrl-C."""
        return self._interrupt.asked

    def keep(self, state: State) -> None:
        """Write a state; if that fails, as on a full disk, the last one stays and it is said."""
        begin = time.perf_counter()
        try:
            if FINISHED in state:
                state = state | {FINISHED: self._finished.add(state[FINISHED])}
            save_state(self._path, state)
        except (OSError, SmoacsError) as error:
            if not self._failed:
                log.warning("no checkpoint could be written (%s); going on", error)
            self._failed = True
        end = time.perf_counter()
        self._next = end + (end - begin) / COST


def finished_folder(state_file: Path) -> Path:
    """Where the finished parts lie of a search whose state is in a file."""
    return state_file.with_name("finished")


@contextmanager
def begin_run(config: DesignConfig, out: str | Path, *, force: bool) -> Iterator[Unfinished]:
    """Make the folder of a new run and give it, locked.

    Args:
        config: What to design.
        out: The run directory.
        force: Whether an existing run, finished or not, may be replaced.

    Raises:
        InputError: Something is in the way, or the folder cannot be written.
        ResourceError: The disk is full.
    """
    check_run_directory(out, force=force)
    unfinished = Unfinished(user_path(out))
    unfinished.folder.mkdir(exist_ok=True)
    with unfinished.locked():
        unfinished.check_ours()
        check_run_directory(out, force=force)  # another process may have been faster
        unfinished.begin(config, force=force)
        yield unfinished


@contextmanager
def reopen_run(out: str | Path) -> Iterator[Unfinished | None]:
    """Give the folder of a run that is not finished, locked; None if the run is complete.

    Args:
        out: The run directory, there or not.

    Raises:
        InputError: There is no such run, or another process works on it.
    """
    out = user_path(out)
    clear_leftovers(out.parent)
    unfinished = Unfinished(out)
    if unfinished.folder.is_dir():
        with unfinished.locked():
            if is_unfinished(out):
                unfinished.tidy()
                unfinished.check_place()
                yield unfinished
                return
            unfinished.remove()
    if not (out / "summary.json").is_file():
        raise InputError(f"{out}: there is no run to resume; begin one with smoacs design")
    if is_interrupted(out):
        raise InputError(
            f"{out}: its checkpoint, the folder {unfinished.folder.name} beside it, is gone; "
            f"repeat it with: smoacs design {shlex.quote(str(out / 'config.toml'))} --out NEW"
        )
    yield None


def is_interrupted(folder: Path) -> bool:
    """Whether a run directory holds what there was at a Ctrl-C."""
    try:
        return bool(read_summary(folder).get("interrupted"))
    except InputError:
        return False


def _files(config: DesignConfig) -> list[Path]:
    """Files and folders that decide what a run gives."""
    named = (config.template, config.predictor)
    return [Path(name).resolve() for name in named if name is not None and Path(name).exists()]


def _digest(path: Path) -> str:
    """Hash of a file, or of the names and contents of the files in a folder."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    files = sorted(file for file in path.rglob("*") if file.is_file())
    listing = [f"{file.relative_to(path)} {_digest(file)}" for file in files]
    return hashlib.sha256("\n".join(listing).encode()).hexdigest()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
