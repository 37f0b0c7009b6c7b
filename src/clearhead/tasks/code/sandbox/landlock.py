"""Files that a process may touch from now on, and no others: Linux's Landlock, by its three system calls.

Numbers and layouts are those of the kernel's documentation (userspace-api/landlock), versions 1 to 6 of its interface;
a kernel that knows fewer is asked for fewer. Standard library only: this runs inside the sandbox.
"""

import ctypes
import os
import struct
from collections.abc import Sequence
from pathlib import Path

CREATE, ADD, RESTRICT = 444, 445, 446  # system calls, the same on every machine
VERSION_FLAG, BENEATH = 1, 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
TRUNCATE, IOCTL = 1 << 14, 1 << 15
RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # version: how many rights over files it knows, from the lowest bit on
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL  # that a rule for a single file may give
BIND_AND_CONNECT = 0b11  # TCP, from version 4 on
ABSTRACT_SOCKETS_AND_SIGNALS = 0b11  # towards processes outside, from version 6 on


def version() -> int:
    """Which version the kernel has; 0 where it has none."""
    return max(0, int(libc().syscall(CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(VERSION_FLAG))))


def restrict(read: Sequence[str], write: Sequence[str], devices: Sequence[str]) -> int:
    """Allow reading and running below `read`, all below `write`, reading and writing `devices`; nothing else.

    The process must have given up new privileges before. Returns the kernel's version.

    Raises:
        OSError: the kernel has no Landlock, or refuses.
    """
    known = version()
    if known == 0:
        raise OSError("the kernel has no Landlock")
    every = (1 << RIGHTS.get(known, 16)) - 1
    network = BIND_AND_CONNECT if known >= 4 else 0
    scope = ABSTRACT_SOCKETS_AND_SIGNALS if known >= 6 else 0
    attributes = struct.pack("=QQQ", every, network, scope)[: 8 if known < 4 else 16 if known < 6 else 24]
    rules = check(libc().syscall(CREATE, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0)))
    for paths, rights in (
        (read, EXECUTE | READ_FILE | READ_DIR),
        (write, every & ~EXECUTE & ~IOCTL),
        (devices, READ_FILE | WRITE_FILE | TRUNCATE | IOCTL),
    ):
        for path in paths:
            allow(rules, path, rights & every)
    check(libc().syscall(RESTRICT, ctypes.c_int(rules), ctypes.c_uint32(0)))
    os.close(rules)
    return known


def allow(rules: int, path: str, rights: int) -> None:
    """One rule; a path that is not there needs none."""
    if not Path(path).exists():
        return
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        kept = rights if Path(path).is_dir() else rights & OF_FILES
        rule = struct.pack("=Qi", kept, place)
        check(libc().syscall(ADD, ctypes.c_int(rules), ctypes.c_int(BENEATH), rule, ctypes.c_uint32(0)))
    finally:
        os.close(place)


def libc() -> ctypes.CDLL:
    """The C library of this process."""
    return ctypes.CDLL(None, use_errno=True)


def check(result: int) -> int:
    """The result of a system call, or what it failed by."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
