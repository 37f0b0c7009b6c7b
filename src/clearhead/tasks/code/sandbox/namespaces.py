"""Worlds of their own for a process: users, processes, network, mounts, messages (Linux's namespaces, man 7).

All of it is made without privileges, by a user namespace first; root becomes `nobody` before, for the kernel counts no
processes of root. Standard library only: this runs inside the sandbox.
"""

import ctypes
import os
import stat
import struct
import sys
from pathlib import Path

NOBODY = 65534
USER, MOUNTS, PROCESSES, NETWORK, MESSAGES, NAME = 0x10000000, 0x20000, 0x20000000, 0x40000000, 0x8000000, 0x4000000
SET_DUMPABLE, SET_DEATH_SIGNAL, SIGKILL = 4, 1, 9
RECURSIVE, PRIVATE, NO_SUID, NO_DEVICES = 0x4000, 1 << 18, 2, 4
MOUNT_SETATTR = 442
AT_FDCWD, AT_RECURSIVE, READ_ONLY = -100, 0x8000, 1


def drop_root(work: str) -> bool:
    """Become `nobody`, and the owner of `work`, where this is root and `nobody` may come to all that is needed.

    Whether this is root no longer.
    """
    if os.getuid() != 0:
        return True
    if not all(is_open(path) for path in (Path(sys.executable), Path(os.__file__), Path(work).parent)):
        return False
    try:
        os.chown(work, NOBODY, NOBODY)
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    except OSError:
        return False
    libc().prctl(SET_DUMPABLE, 1, 0, 0, 0)  # or /proc/self would belong to root
    return True


def is_open(path: Path) -> bool:
    """Whether everybody may read a file, and come to it."""
    real = path.resolve()
    try:
        return bool(real.stat().st_mode & stat.S_IROTH) and all(p.stat().st_mode & stat.S_IXOTH for p in real.parents)
    except OSError:
        return False


def enter() -> str | None:
    """New namespaces; children of this process live in them. None, or why there are none.

    Inside, this process is `nobody` with all capabilities, until it becomes another program.
    """
    user, group = os.geteuid(), os.getegid()
    try:
        check(libc().unshare(USER | MOUNTS | PROCESSES | NETWORK | MESSAGES | NAME))
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{NOBODY} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{NOBODY} {group} 1")
    except OSError as error:
        return f"namespaces: {error.strerror or error}"
    return None


def close_files(work: str, size: int) -> str | None:
    """Put a new, empty file system of `size` bytes at `work`, and make all others read-only.

    None, or why it could not be done; then `work` can be written all the same.
    """
    try:
        check(libc().mount(None, b"/", None, ctypes.c_ulong(RECURSIVE | PRIVATE), None))
        options = f"size={size},nr_inodes=4096,mode=700,uid={NOBODY},gid={NOBODY}".encode()
        check(libc().mount(b"tmpfs", work.encode(), b"tmpfs", ctypes.c_ulong(NO_SUID | NO_DEVICES), options))
        set_mount("/", AT_RECURSIVE, READ_ONLY, 0)
        set_mount(work, 0, 0, READ_ONLY)
    except OSError as error:
        return f"mounts: {error.strerror or error}"
    return None


def set_mount(path: str, how: int, on: int, off: int) -> None:
    """Switch attributes of a mount on and off: mount_setattr, man 2."""
    attributes = struct.pack("=QQQQ", on, off, 0, 0)
    size = ctypes.c_size_t(len(attributes))
    check(libc().syscall(MOUNT_SETATTR, AT_FDCWD, path.encode(), how, attributes, size))


def die_with_parent(parent: int | None = None) -> None:
    """Be killed when the process that started this one ends, or now if `parent` is no longer that process.

    Neither a child nor another user keeps it (prctl, man 2): every process asks for itself, after its last change of
    user.
    """
    libc().prctl(SET_DEATH_SIGNAL, SIGKILL, 0, 0, 0)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), SIGKILL)


def hide() -> None:
    """Let no other process look into this one."""
    libc().prctl(SET_DUMPABLE, 0, 0, 0, 0)


def libc() -> ctypes.CDLL:
    """The C library of this process."""
    return ctypes.CDLL(None, use_errno=True)


def check(result: int) -> int:
    """The result of a call, or what it failed by."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
