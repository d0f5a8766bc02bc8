"""Bundles installed in a folder of a device, one after the other.

    DIR/current        link to the bundle that runs: python3 -m runtime.device DIR/current ...
    DIR/previous       link to the one before it, which `rollback` brings back
    DIR/bundles/ID/    those two bundles, named by their ids
    DIR/state.json     the highest revision ever installed here, and the id of that bundle
    DIR/trust/*.pub    if the folder is there: the keys of which one has to have signed what is installed
    DIR/lock           held by whoever changes any of it

What runs changes by one rename of a link, after all of the new bundle was checked and is on the disk. So a device that
loses power at any moment has one of the two, complete. The highest revision is written before that: it may be ahead of
what runs, never behind.
"""

import contextlib
import json
import os
import shutil
import uuid
from typing import BinaryIO, Iterator, NamedTuple, Optional

from ..errors import BundleError, InstallError
from ..programs import command_of
from .archive import LIMIT_BYTES
from .signature import SIGNATURE, TrustedKeys, trusted_keys
from .store import Bundle, open_bundle, read_signed
from .unpack import extract, sync_folder

CURRENT, PREVIOUS, BUNDLES, STATE, TRUST, LOCK = "current", "previous", "bundles", "state.json", "trust", "lock"
_OWN = (CURRENT, PREVIOUS, BUNDLES, STATE, TRUST, LOCK)
_STATE_LIMIT_BYTES = 4096


class Installed(NamedTuple):
    """What a change left.

    Attributes
    ----------
    bundle : Bundle
        The one that runs now.
    before : str or None
        Id of the bundle that ran before and is kept, None where there is none.
    changed : bool
        False where that bundle ran already.
    """

    bundle: Bundle
    before: Optional[str]
    changed: bool


class _State(NamedTuple):
    revision: int
    bundle_id: str


def install(
    stream: BinaryIO,
    shown: str,
    folder: str,
    keys: Optional[TrustedKeys] = None,
    force: bool = False,
    limit_bytes: int = LIMIT_BYTES,
) -> Installed:
    """Install an archive and have `folder`/current name its bundle; the one that was there becomes `previous`.

    Parameters
    ----------
    stream : binary file
        The archive; need not seek.
    shown : str
        Its name, for messages.
    folder : str
        Made if it does not exist.
    keys : TrustedKeys, optional
        One of them has to have signed it. Not given: those in `folder`/trust, if there is such a folder.
    force : bool
        Take a bundle of the highest revision installed here although its contents are others. A lower revision is
        refused whatever is given.
    limit_bytes : int
        Of all files of the bundle together.

    Raises
    ------
    BundleError, SignatureError
        The archive is damaged, too large, or not signed as it has to be.
    InstallError
        Its revision is lower than one installed before, or the folder is in the way or cannot be written.
    """
    with _locked(folder, make=True):
        keys = _pinned(folder, keys)
        partial = os.path.join(folder, f".{uuid.uuid4().hex}.partial")
        try:
            extract(stream, shown, partial, keys, limit_bytes)
            bundle = open_bundle(partial, keys)
            state = _read_state(folder)
            _check_revision(bundle, state, folder, force)
            target = os.path.join(BUNDLES, bundle.bundle_id)
            _place(partial, os.path.join(folder, target), bundle.bundle_id)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        _write_state(folder, _State(bundle.manifest.revision, bundle.bundle_id))
        before = _link(folder, CURRENT)
        changed = before != target
        if changed:
            if before is not None:
                _set_link(folder, PREVIOUS, before)
            _set_link(folder, CURRENT, target)
        _clean(folder)
        return Installed(open_bundle(os.path.join(folder, CURRENT), keys), _id_of(_link(folder, PREVIOUS)), changed)


def rollback(folder: str, keys: Optional[TrustedKeys] = None) -> Installed:
    """Have `folder`/current name the bundle that ran before, and `previous` the one that runs now.

    Doing it twice changes nothing. The highest revision stays what it is, so nothing older can be installed after it.

    Raises
    ------
    InstallError
        There is no bundle before, or the folder cannot be written.
    BundleError, SignatureError
        That bundle is damaged, or not signed as it has to be; then nothing changes.
    """
    with _locked(folder, make=False):
        keys = _pinned(folder, keys)
        current, previous = _link(folder, CURRENT), _link(folder, PREVIOUS)
        if current is None or previous is None or previous == current:
            raise InstallError(
                f"there is nothing to go back to in {folder}",
                [f"installed  {_id_of(current) or 'nothing'}", "kept       no other bundle"],
                "install the bundle that is to run: " + command_of("install") + " FILE.coachz --into DIR",
            )
        open_bundle(os.path.join(folder, previous), keys)
        _set_link(folder, CURRENT, previous)
        _set_link(folder, PREVIOUS, current)
        return Installed(open_bundle(os.path.join(folder, CURRENT), keys), _id_of(current), True)


def _check_revision(bundle: Bundle, state: Optional[_State], folder: str, force: bool) -> None:
    found = bundle.manifest.revision
    if state is None or found > state.revision:
        return
    next_one = f"compile it with --revision {state.revision + 1}"
    if found < state.revision:
        raise InstallError(
            f"the bundle is older than one that was installed in {folder} already",
            [f"expected  revision {state.revision} or higher", f"found     revision {found}"],
            f"{next_one}, or go back to the bundle before: --rollback {folder}",
        )
    if bundle.bundle_id != state.bundle_id and not force:
        raise InstallError(
            f"another bundle of the same revision was installed in {folder} already",
            [
                f"expected  bundle {state.bundle_id[:12]} for revision {found}",
                f"found     bundle {bundle.bundle_id[:12]}",
            ],
            f"{next_one}, or replace it with --force",
        )


def _pinned(folder: str, keys: Optional[TrustedKeys]) -> Optional[TrustedKeys]:
    trust = os.path.join(folder, TRUST)
    return trusted_keys(trust) if keys is None and os.path.lexists(trust) else keys


def _place(partial: str, target: str, bundle_id: str) -> None:
    """Put a checked bundle in its place, unless it is there already and only its signature may be another."""
    if os.path.lexists(target):
        with contextlib.suppress(BundleError):
            if open_bundle(target).bundle_id == bundle_id:
                if read_signed(partial)[1] is not None:
                    os.replace(os.path.join(partial, SIGNATURE), os.path.join(target, SIGNATURE))
                    sync_folder(target)
                return
        os.rename(target, f"{partial}.old")  # damaged; `_clean` removes it
    os.rename(partial, target)
    sync_folder(os.path.dirname(target))


@contextlib.contextmanager
def _locked(folder: str, make: bool) -> Iterator[None]:
    """Nobody else changes the folder while the block runs; what an interrupted change left is gone before it."""
    import fcntl  # there is none on Windows, which has to import this module only

    try:
        if make and not os.path.isdir(folder):
            os.makedirs(folder)
            sync_folder(os.path.dirname(os.path.abspath(folder)))
        names = os.listdir(folder)
        if not make and CURRENT not in names:
            raise InstallError(f"no bundle is installed in {folder}", hint="name the folder that --into named")
        others = [name for name in sorted(names) if name not in _OWN and not _is_left(name)]
        if others:
            raise InstallError(
                f"{folder} holds other files than installed bundles, for example {others[0]}",
                hint="name a folder that is empty or does not exist yet",
            )
        with open(os.path.join(folder, LOCK), "a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as exc:
                raise InstallError(
                    f"another program is installing into {folder}", hint="wait until it is done, then try again"
                ) from exc
            os.makedirs(os.path.join(folder, BUNDLES), exist_ok=True)
            _clean(folder)
            yield
    except OSError as exc:
        raise InstallError(
            f"cannot change {folder}: {exc.strerror or exc}", hint="check its free space, its owner and its permissions"
        ) from exc


def _is_left(name: str) -> bool:
    """Whether an interrupted change left it."""
    return name.startswith(".") and name.endswith((".partial", ".old"))


def _clean(folder: str) -> None:
    """Remove bundles that no link names, and what interrupted changes left."""
    named = [_id_of(_link(folder, name)) for name in (CURRENT, PREVIOUS)]
    left = [os.path.join(folder, name) for name in os.listdir(folder) if _is_left(name)]
    inside = os.path.join(folder, BUNDLES)
    left += [os.path.join(inside, name) for name in os.listdir(inside) if name not in named]
    for path in left:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                os.unlink(path)


def _link(folder: str, name: str) -> Optional[str]:
    """What a link names, bundles/ID; None where it is not there."""
    path = os.path.join(folder, name)
    if not os.path.lexists(path):
        return None
    target = os.readlink(path) if os.path.islink(path) else ""
    if os.path.dirname(target) != BUNDLES:
        raise InstallError(
            f"{path} is not a link to an installed bundle",
            [f"expected  a link to {BUNDLES}/ID", f"found     {f'a link to {target}' if target else 'no link'}"],
            "move it away and install again",
        )
    return target


def _id_of(link: Optional[str]) -> Optional[str]:
    return None if link is None else os.path.basename(link)


def _set_link(folder: str, name: str, target: str) -> None:
    partial = os.path.join(folder, f".{uuid.uuid4().hex}.partial")
    os.symlink(target, partial)
    os.replace(partial, os.path.join(folder, name))
    sync_folder(folder)


def _read_state(folder: str) -> Optional[_State]:
    path = os.path.join(folder, STATE)
    if not os.path.lexists(path) and _link(folder, CURRENT) is None:
        return None
    try:
        with open(path, "rb") as stream:
            raw = json.loads(stream.read(_STATE_LIMIT_BYTES).decode("utf-8"))
        revision, bundle_id = raw["highest_revision"], raw["bundle_id"]
        if type(revision) is int and isinstance(bundle_id, str):
            return _State(revision, bundle_id)
        problem = "its fields are of other types"
    except OSError as exc:
        problem = exc.strerror or str(exc)
    except (ValueError, TypeError, KeyError) as exc:
        problem = str(exc)[:80]
    # Without it anything older could be installed, so it is not made up from what runs.
    raise InstallError(
        f"{path} does not say which revision was installed here: {problem}",
        ["expected  JSON with highest_revision and bundle_id"],
        f"remove {folder} and install again",
    )


def _write_state(folder: str, state: _State) -> None:
    partial = os.path.join(folder, f".{uuid.uuid4().hex}.partial")
    fields = {"highest_revision": state.revision, "bundle_id": state.bundle_id}
    with open(partial, "w") as stream:
        stream.write(json.dumps(fields, sort_keys=True, indent=1) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(partial, os.path.join(folder, STATE))
    sync_folder(folder)
