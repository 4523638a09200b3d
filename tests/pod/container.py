"""Become a container: run as root in new mount and PID namespaces, ``python container.py FILE``.

FILE is JSON: ``root`` (an empty folder to mount on), ``pid`` (a file to write our PID into, as it
is outside), ``image`` (paths of this machine that the container sees, read-only), ``mounts`` (pairs
of a folder and where it appears, read-only), ``user``, ``group``, ``env``, ``command``,
``workdir``, ``is_read_only``, ``cgroups`` (folders to join).

What a container runtime does, without one: a root of its own, a user, no capabilities and no way to
gain any. The image is a stand-in: this machine's own Python and libraries.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path

MS_RDONLY, MS_NOSUID, MS_REMOUNT, MS_BIND, MS_REC = 1, 2, 32, 4096, 16384
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
CAPABILITIES_MAX = 64
LIBC = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """Mount.

    Raises:
        OSError: the kernel refuses.
    """
    texts = [None if text is None else text.encode() for text in (source, target, kind, data)]
    if LIBC.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]):
        raise OSError(ctypes.get_errno(), "mount", source, None, target)


def show(source: Path, root: Path, inside: str) -> None:
    """Let ``source`` appear as ``inside`` under ``root``, read-only; links stay links."""
    place = root / inside.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists() or place.is_symlink():
        return
    if source.is_symlink():
        place.symlink_to(source.readlink())
        return
    if source.is_dir():
        place.mkdir()
    else:
        place.touch()
    mount(str(source), str(place), None, MS_BIND | MS_REC)
    mount(str(source), str(place), None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID)


def furnish(spec: dict[str, object], root: Path) -> None:
    """Make the container's root: image, volumes, devices, /proc."""
    mount("tmpfs", str(root), "tmpfs", MS_NOSUID, "mode=755,size=1m")
    for path in spec["image"]:  # type: ignore[attr-defined]  # JSON of ours
        show(Path(path), root, path)
    for source, inside in spec["mounts"]:  # type: ignore[attr-defined]  # JSON of ours
        show(Path(source), root, inside)
    for device in ("null", "zero", "urandom"):
        place = root / "dev" / device
        place.parent.mkdir(exist_ok=True)
        place.touch()
        mount(f"/dev/{device}", str(place), None, MS_BIND)
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc" / "hosts").write_text("127.0.0.1 localhost\n")
    (root / "proc").mkdir()
    mount("proc", str(root / "proc"), "proc", MS_NOSUID)
    if spec["is_read_only"]:
        mount("tmpfs", str(root), None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID)


def renounce(user: int, group: int) -> None:
    """Be somebody without any privilege, for good."""
    for capability in range(CAPABILITIES_MAX):
        LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.setgroups([group])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)
    LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def main(file: str) -> None:
    """Become the container that ``file`` describes."""
    spec = json.loads(Path(file).read_text(encoding="utf-8"))
    for cgroup in spec["cgroups"]:
        Path(cgroup, "cgroup.procs").write_text("0")
    told = Path(spec["pid"])
    told.with_suffix(".new").write_text(str(Path("/proc/self").readlink()))
    root = Path(spec["root"])
    furnish(spec, root)
    told.with_suffix(".new").rename(told)
    os.chroot(root)
    os.chdir(spec["workdir"])
    renounce(spec["user"], spec["group"])
    os.execvpe(spec["command"][0], spec["command"], spec["env"])


if __name__ == "__main__":
    main(sys.argv[1])
