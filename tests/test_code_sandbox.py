"""The sandbox: each thing that a program is kept from is tried by a program."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clearhead.errors import OptionError, UnsupportedError
from clearhead.tasks.code.sandbox import landlock, seccomp
from clearhead.tasks.code.sandbox.inside import Report
from clearhead.tasks.code.sandbox.limits import MIB, Limits, Ran
from clearhead.tasks.code.sandbox.run import Kept, Seen, outcome, run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="programs can be shut in on Linux only")
TRY = """
def attempt(work):
    try:
        print("done", work())
    except BaseException as error:
        print("refused", type(error).__name__)
"""
SHORT = Limits(seconds=5.0, processor_seconds=5)


def program(text: str, limits: Limits = SHORT, **options: object) -> Ran:
    """Run a program that may call `attempt`."""
    return run({"program.py": TRY + text}, "program.py", limits=limits, **options)  # type: ignore[arg-type]


def processes(name: str) -> list[str]:
    """Command lines of this machine that hold `name`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        found += [line] if name in line else []
    return found


def test_a_program_runs_in_an_empty_folder_and_leaves_nothing() -> None:
    made = program("import os, sys\nprint(os.getcwd(), os.listdir()); open('new', 'w').write('x'); sys.exit(7)")
    folder, names = made.stdout.split(" ", 1)
    assert (made.status, names, made.stderr) == (7, "['program.py']\n", "")
    assert not Path(folder).exists()
    assert made.seconds < 5 and made.peak_memory > MIB and made.over is None
    with pytest.raises(OptionError, match="no plain file name"):
        run({"../x.py": ""}, "x.py")


def test_what_is_held_is_told() -> None:
    made = program("")
    assert {"network", "writing", "memory", "processor time", "file size", "open files", "processes"} <= set(made.held)
    assert not set(made.held) & set(made.missing)


def test_an_endless_loop_is_stopped_by_the_clock() -> None:
    made = run({"endless_3481.py": "while True: pass"}, "endless_3481.py", limits=Limits(seconds=0.5))
    assert made.timed_out and made.over == "it ran longer than 0.5 s" and made.seconds < 4
    assert processes("endless_3481.py") == []


def test_sleep_is_stopped_by_the_clock_too() -> None:
    assert program("import time; time.sleep(60)", Limits(seconds=0.3)).timed_out


def test_processor_time_is_limited() -> None:
    made = program("while True: pass", Limits(seconds=20, processor_seconds=1))
    assert made.status in (-signal.SIGXCPU, -signal.SIGKILL) and not made.timed_out
    assert made.over == "it took more than 1 s of processor time"


def test_memory_is_limited() -> None:
    made = program("x = bytearray(400 * 2**20)\nprint('had it')", Limits(memory=128 * MIB))
    assert made.status == 1 and "had it" not in made.stdout and made.over == "it took more than 128 MiB of memory"
    assert program("x = bytearray(400 * 2**20)\nprint('had it')", Limits(memory=600 * MIB)).stdout == "had it\n"


def test_the_word_alone_is_no_lack_of_memory() -> None:
    assert program("import sys\nprint('no MemoryError here', file=sys.stderr)\nsys.exit(1)").over is None
    assert program("raise ValueError('MemoryError')").over is None
    assert program("import sys\nprint('MemoryError', file=sys.stderr)").over is None  # and it ended well


def test_a_file_can_grow_only_so_large() -> None:
    made = program("attempt(lambda: open('big', 'wb').write(bytes(2**22)))", Limits(file_size=MIB))
    assert made.stdout == "refused OSError\n"


def test_many_files_can_take_only_so_much() -> None:
    made = program("for i in range(64): attempt(lambda: open(f'f{i}', 'wb').write(bytes(2**20)))", Limits(disk=8 * MIB))
    if "disk" not in made.held:
        pytest.skip(f"no file system of its own here: {made.missing['disk']}")
    assert made.stdout.count("done") <= 8 and "refused OSError" in made.stdout


def test_open_files_are_limited() -> None:
    made = program("kept = []\nfor i in range(100): attempt(lambda: kept.append(open('program.py')))")
    assert 40 < made.stdout.count("done") < 64


def test_a_fork_bomb_stays_small() -> None:
    bomb = """
import os, time
made = 0
for _ in range(60):
    try:
        child = os.fork()
    except OSError:
        break
    if child == 0:
        time.sleep(30)
        os._exit(0)
    made += 1
print(made, flush=True)
"""
    made = run({"bomb_7731.py": bomb}, "bomb_7731.py", limits=Limits(seconds=5, processes=8))
    assert int(made.stdout) < 8 and made.status == 0
    assert made.seconds < 4 and processes("bomb_7731.py") == []  # what was left behind ended with it


def test_a_child_that_hides_is_ended_with_the_program() -> None:
    text = """
import os, time
try:
    child = os.fork()
except OSError:
    print("no child")
else:
    if child == 0:
        os.setsid()
        time.sleep(30)
        os._exit(0)
    print("a child")
"""
    made = run({"orphan_5512.py": text}, "orphan_5512.py", limits=SHORT)
    assert made.stdout in ("a child\n", "no child\n") and (made.stdout == "a child\n") == (
        "none" not in made.held["processes"]
    )
    assert made.seconds < 4 and processes("orphan_5512.py") == []


def test_threads_are_allowed() -> None:
    made = program("import threading\nt = threading.Thread(target=print, args=('hello',)); t.start(); t.join()")
    assert made.stdout == "hello\n"


def test_no_listener_of_this_machine_is_reached(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_UNIX) as local:
        local.bind(str(tmp_path / "listener"))
        local.listen()
        listener.settimeout(0.3)
        local.settimeout(0.3)
        made = program(
            f"import socket\n"
            f"attempt(lambda: socket.create_connection(('127.0.0.1', {listener.getsockname()[1]}), timeout=1))\n"
            f"attempt(lambda: socket.socket(socket.AF_UNIX).connect({str(tmp_path / 'listener')!r}))\n"
            "attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9)))\n"
            "attempt(lambda: socket.getaddrinfo('example.org', 80))\n"
            "attempt(lambda: socket.socketpair() and 'a pair')\n"
        )
        assert made.stdout.splitlines()[:3] == ["refused PermissionError"] * 3
        assert made.stdout.splitlines()[3].startswith("refused") and made.stdout.splitlines()[4] == "done a pair"
        for each in (listener, local):
            with pytest.raises(TimeoutError):
                each.accept()


def test_nothing_outside_is_written_or_changed(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    (tmp_path / "kept").write_text("as it was")
    (tmp_path / "kept").chmod(0o666)
    made = program(
        "import os\n"
        f"os_path = {str(tmp_path)!r}\n"
        "attempt(lambda: open(os_path + '/new', 'w'))\n"
        "attempt(lambda: open(os_path + '/kept', 'a').write('more'))\n"
        "attempt(lambda: os.truncate(os_path + '/kept', 0))\n"
        "attempt(lambda: os.unlink(os_path + '/kept'))\n"
        "attempt(lambda: os.rename(os_path + '/kept', os_path + '/moved'))\n"
        "attempt(lambda: os.chmod(os_path + '/kept', 0))\n"
        "attempt(lambda: os.utime(os_path + '/kept', (1, 1)))\n"
        "attempt(lambda: os.symlink('x', os_path + '/link'))\n"
        "attempt(lambda: os.mkdir(os_path + '/folder'))\n"
        "attempt(lambda: open('/dev/shm/x', 'w'))\n"
        "attempt(lambda: open('/dev/null', 'w').write('x'))\n"
    )
    *others, null = made.stdout.splitlines()
    assert len(others) == 10 and all(line.startswith("refused") for line in others) and null == "done 1"
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("kept", "as it was")]
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o666 and (tmp_path / "kept").stat().st_mtime > 1000


def test_files_of_the_user_are_not_read(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    (tmp_path / "secret").write_text("a password")
    made = program(
        "import os\n"
        f"attempt(lambda: open({str(tmp_path / 'secret')!r}).read())\n"
        f"attempt(lambda: os.listdir({str(Path.home())!r}))\n"
        "attempt(lambda: open('/etc/passwd').read())\n"
    )
    assert made.stdout == "refused PermissionError\n" * 3 and "password" not in made.stdout


def test_the_environment_is_empty_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEARHEAD_SECRET", "very secret")
    made = program(
        "import os\nprint(sorted(os.environ))\n"
        f"attempt(lambda: open('/proc/{os.getpid()}/environ').read())\n"
        "attempt(lambda: open('/proc/self/environ').read())\n"
        f"attempt(lambda: os.kill({os.getpid()}, 0))\n"
    )
    assert made.stdout.splitlines()[0] == "['HOME', 'LANG', 'PATH', 'PYTHONHASHSEED', 'TMPDIR']"
    assert made.stdout.count("refused") == 3 and "very secret" not in made.stdout


def test_no_package_of_this_environment_is_there() -> None:
    made = program(
        "attempt(lambda: __import__('numpy'))\nattempt(lambda: __import__('clearhead'))\nimport json, unittest"
    )
    assert made.stdout == "refused ModuleNotFoundError\n" * 2 and made.status == 0


def test_no_way_leads_out_again() -> None:
    made = program(
        "import ctypes, os\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "print(libc.unshare(0x10000000), libc.mount(b'none', b'/', b'tmpfs', 0, None), libc.ptrace(16, 1, 0, 0))\n"
        "print(libc.chroot(b'/'), libc.syscall(425, 4, None), libc.setuid(0) if os.getuid() else -1)\n"
    )
    assert set(made.stdout.split()) == {"-1"}


def test_output_is_bounded_and_what_is_left_out_is_told() -> None:
    made = program("print('begin' + 'x' * 3_000_000 + 'end')", Limits(output=1000))
    assert made.stdout.startswith("begin") and made.stdout.endswith("end\n") and len(made.stdout) < 1100
    assert made.cut == 3_000_009 - 1000 and f"[{made.cut} bytes left out]" in made.stdout


def test_runs_are_the_same_each_time() -> None:
    assert program("print(hash('a'))").stdout == program("print(hash('a'))").stdout


def without(*calls: tuple[int, int], unconfined: bool = False) -> str:
    """What a program says that tries a socket and a file outside, on a system that lacks some calls."""
    text = "import os, socket\nattempt(lambda: socket.socket().fileno() > 0)\nattempt(lambda: open('/etc/passwd'))\n"
    return on_lesser_system(f"{text}attempt(lambda: os.kill({os.getpid()}, 0))", *calls, unconfined=unconfined)


def on_lesser_system(
    program: str,
    *calls: tuple[int, int],
    name: str = "a.py",
    seconds: float = 10.0,
    filters: bool = True,
    unconfined: bool = False,
) -> str:
    """What a program that may call `attempt` says, and then what is held and what is missing.

    The system lacks `calls`, and without `filters` also the way to ask for a seccomp filter.
    """
    denied = {str(i): numbers for i, numbers in enumerate(calls)}
    text = f"""
from clearhead.tasks.code.sandbox import seccomp
from clearhead.tasks.code.sandbox.limits import Limits
from clearhead.tasks.code.sandbox.run import run
from clearhead.errors import UnsupportedError
seccomp.give_up_privileges()
seccomp.restrict({denied!r})
if not {filters}:
    load, equal, give = seccomp.LOAD, seccomp.EQUAL, seccomp.RETURN
    number = seccomp.PRCTL[seccomp.MACHINES[seccomp.platform.machine()][1]]
    seccomp.install(b"".join(seccomp.instruction(*each) for each in (
        (load, seccomp.NUMBER), (equal, number, 0, 3), (load, seccomp.FIRST_ARGUMENT),
        (equal, seccomp.SET_SECCOMP, 0, 1), (give, seccomp.ERROR | seccomp.EPERM), (give, seccomp.ALLOW))))
try:
    made = run({{{name!r}: {TRY + program!r}}}, {name!r}, limits=Limits(seconds={seconds}), unconfined={unconfined})
    print(made.stdout, sorted(made.held), sorted(made.missing))
except UnsupportedError as error:
    print("ERROR", error)
"""
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, timeout=60).stdout


UNSHARE, LANDLOCK, PRCTL = (272, 97), (444, 444), (157, 167)


@pytest.mark.skipif(not seccomp.available(), reason="the filter does not know this machine")
def test_without_namespaces_landlock_and_seccomp_hold() -> None:
    if landlock.version() == 0:
        pytest.skip("the kernel has no Landlock")
    said = without(UNSHARE)
    assert said.count("refused") == 3
    held, missing = said.splitlines()[-1].split("] [")
    assert all(what in held for what in ("network", "writing", "reading", "processes", "other processes"))
    assert "disk" in missing
    assert not {"network", "writing", "other processes", "processes"} & set(re.findall(r"'(.+?)'", missing))


@pytest.mark.skipif(not seccomp.available(), reason="the filter does not know this machine")
def test_without_namespaces_a_program_ends_with_its_time_too() -> None:
    if landlock.version() == 0:
        pytest.skip("the kernel has no Landlock")
    text = "import ctypes, os, time\nlibc = ctypes.CDLL(None)\n"
    text += "attempt(lambda: os.setsid())\nattempt(lambda: os.setpgid(0, 0))\n"
    text += "print(libc.prctl(1, 0, 0, 0, 0), libc.prctl(3, 0, 0, 0, 0), flush=True)\ntime.sleep(20)"
    said = on_lesser_system(text, UNSHARE, name="stray_6620.py", seconds=1.0)
    assert said.splitlines()[:3] == ["refused PermissionError"] * 2 + ["-1 1"]  # prctl 3 is none of those denied
    assert processes("stray_6620.py") == []


def test_a_program_that_has_left_its_session_ends_with_its_time() -> None:
    text = "import os, time\nos.setsid()\nprint('left', flush=True)\ntime.sleep(20)"
    said = on_lesser_system(text, UNSHARE, name="stray_6621.py", seconds=1.0, filters=False, unconfined=True)
    assert said.splitlines()[0] == "left" and processes("stray_6621.py") == []


def test_what_is_held_one_way_is_not_missing() -> None:
    report = Report(-1)
    report.note("network", "", "no namespaces")
    report.note("network", "no sockets", None)
    report.note("network", "", "nor anything else")
    assert (report.held, report.missing) == ({"network": "no sockets"}, {})


@pytest.mark.skipif(not seccomp.available(), reason="the filter does not know this machine")
def test_where_the_network_cannot_be_cut_off_nothing_is_run_unless_asked_for() -> None:
    said = without(UNSHARE, LANDLOCK, PRCTL)
    assert said.startswith("ERROR a program cannot be kept from the network") and "--unconfined" in said
    asked = without(UNSHARE, LANDLOCK, PRCTL, unconfined=True)
    assert asked.startswith("done True") and "'network', " in asked.split("] [")[1]


def test_a_sandbox_that_does_not_start_is_an_error() -> None:
    empty = Seen(Kept(10), Kept(100), Kept(100))
    empty.stderr.add(b"no such interpreter")
    with pytest.raises(UnsupportedError, match="did not start: no such interpreter"):
        outcome(empty, SHORT, 0.0)


@pytest.mark.parametrize(
    "wrong", [{"seconds": 0}, {"memory": 1}, {"processes": 0}, {"output": 1}, {"seconds": float("nan")}, {"disk": 0.5}]
)
def test_limits_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(OptionError):
        Limits(**wrong)  # type: ignore[arg-type]


def test_a_program_dies_with_whoever_started_it(tmp_path: Path) -> None:
    text = (
        "from clearhead.tasks.code.sandbox.run import run\n"
        "run({'lonely_9042.py': 'import time; time.sleep(30)'}, 'lonely_9042.py')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", text], env={**os.environ, "TMPDIR": str(tmp_path)})
    deadline = time.monotonic() + 20
    while not any(line.rstrip().endswith("lonely_9042.py") for line in processes("lonely_9042.py")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait()
    while processes("lonely_9042.py"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
