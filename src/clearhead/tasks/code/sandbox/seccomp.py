"""System calls that a process may no longer make: a seccomp filter, assembled here.

The filter is a program of classic BPF over the number and the arguments of each call (the kernel's
userspace-api/seccomp_filter). A call that is denied fails like one that is not permitted; a call by another calling
convention, where numbers mean other things, ends the process. Standard library only: this runs inside the sandbox.
"""

import ctypes
import os
import platform
import struct
from collections.abc import Iterable

NO_NEW_PRIVILEGES, SET_SECCOMP, FILTER = 38, 22, 2
ALLOW, KILL, ERROR = 0x7FFF0000, 0x80000000, 0x00050000
EPERM, EAGAIN, ENOSYS = 1, 11, 38
LOAD, EQUAL, ANY_BIT, AT_LEAST, RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # where they lie in seccomp_data, lowest bytes first
MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}  # AUDIT_ARCH, column of the tables below
X32 = 0x40000000  # x86-64: numbers from here on are of the x32 convention
NEW_NAMESPACES = 0x7E020080  # CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET, TIME
THREAD = 0x00010000  # CLONE_THREAD

# Numbers on x86-64 and aarch64; None: the machine has no such call.
Table = dict[str, tuple[int | None, int | None]]
NETWORK: Table = {
    "socket": (41, 198),  # of any kind: a Unix socket reaches services of this machine; socketpair stays
    "connect": (42, 203),
    "bind": (49, 200),
    "io_uring_setup": (425, 425),  # does all of this without a call of its own
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
}
PRIVILEGES: Table = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsmount": (432, 432),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
}
# Memory that no limit of a process counts.
UNCOUNTED: Table = {
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
}
# Landlock does not watch these; a file system that is read-only does.
METADATA: Table = {
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
}
# Reach other processes of the same user, where those can be seen, or leave the session that is ended as a whole.
OTHERS: Table = {
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
    "prlimit64": (302, 261),
    "setpriority": (141, 140),
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "setsid": (112, 157),
    "setpgid": (109, 154),
}
FORKS: Table = {"fork": (57, None), "vfork": (58, None)}
CLONE, CLONE3, PRCTL = (56, 220), (435, 435), (157, 167)
SET_DEATH_SIGNAL = 1  # prctl: the signal that ends a process with its parent


def available() -> bool:
    """Whether the tables know this machine."""
    return platform.machine() in MACHINES


def restrict(*tables: Table, processes: bool = True, parted: bool = True) -> None:
    """Deny the calls of some tables, and without `processes` every new process that is no thread.

    Without `parted` the process can no longer choose to outlive its parent.

    The process must have given up new privileges before.

    Raises:
        OSError: a machine that the tables do not know, or a kernel that refuses.
    """
    if not available():
        raise OSError(f"system calls of {platform.machine()} are not known here")
    architecture, column = MACHINES[platform.machine()]
    denied = [numbers[column] for table in tables for numbers in table.values()]
    forks = [numbers[column] for numbers in FORKS.values()] if not processes else []
    program = assemble(
        architecture, column, filter(None, denied), list(filter(None, forks)), processes=processes, parted=parted
    )
    install(program)


def assemble(
    architecture: int, column: int, denied: Iterable[int], forks: list[int], *, processes: bool, parted: bool
) -> bytes:
    """The filter, eight bytes an instruction; a jump leads behind the return, or the part, that follows it."""
    code = [
        instruction(LOAD, ARCHITECTURE),
        instruction(EQUAL, architecture, 1, 0),
        instruction(RETURN, KILL),
        instruction(LOAD, NUMBER),
    ]
    if column == 0:
        code += [instruction(AT_LEAST, X32, 0, 1), instruction(RETURN, KILL)]
    code += [part for number in denied for part in when(number, ERROR | EPERM)]
    code += [part for number in forks for part in when(number, ERROR | EAGAIN)]
    if not parted:
        code += [
            instruction(EQUAL, PRCTL[column], 0, 4),
            instruction(LOAD, FIRST_ARGUMENT),
            *when(SET_DEATH_SIGNAL, ERROR | EPERM),
            instruction(LOAD, NUMBER),
        ]
    code += when(CLONE3[column], ERROR | ENOSYS)  # its flags cannot be read from here; callers then use clone
    code += [
        instruction(EQUAL, CLONE[column], 0, 5 if not processes else 3),
        instruction(LOAD, FIRST_ARGUMENT),
        instruction(ANY_BIT, NEW_NAMESPACES, 0, 1),
        instruction(RETURN, ERROR | EPERM),
    ]
    if not processes:
        code += [instruction(ANY_BIT, THREAD, 1, 0), instruction(RETURN, ERROR | EAGAIN)]
    return b"".join([*code, instruction(RETURN, ALLOW)])


def when(number: int, result: int) -> list[bytes]:
    """End with `result` where the number is this one."""
    return [instruction(EQUAL, number, 0, 1), instruction(RETURN, result)]


def instruction(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    """A `sock_filter`."""
    return struct.pack("=HBBI", code, yes, no, value)


def install(program: bytes) -> None:
    """Filter all further calls of this process and of its children."""
    libc = ctypes.CDLL(None, use_errno=True)
    held = ctypes.create_string_buffer(program, len(program))
    fprog = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(held))
    if libc.prctl(SET_SECCOMP, FILTER, fprog, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def give_up_privileges() -> None:
    """Nothing that this process starts can have more rights than it (no set-uid program, for one).

    Raises:
        OSError: a kernel that refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
