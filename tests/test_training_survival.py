"""Runs that survive: what is broken off, in whichever way, goes on to the same bits, and nothing is lost."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOSPC
from pathlib import Path
from typing import Any

import pytest

from clearhead.errors import (
    CheckpointError,
    ClearheadError,
    StoppedError,
    TrainingError,
)
from clearhead.training.callbacks.log import JsonLog
from clearhead.training.callbacks.saving import Save
from clearhead.training.runs.run import Run, train
from training_runs import after_step, carry_out, learnt, recipe, write_recipe

pytestmark = pytest.mark.usefixtures("threads_kept")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(scope="module")
def whole(path: Path) -> Path:
    """A run that nothing happened to."""
    carry_out(path, path.parent / "whole")
    return path.parent / "whole"


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """Another one, to be spoilt."""
    return Path(shutil.copytree(whole, tmp_path / "copy"))


# Killed


def test_a_run_killed_at_random_moments_gives_the_same_bits() -> None:
    """`python tests/training_kills.py` does it twenty times."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    script = Path(__file__).with_name("training_kills.py")
    command = [sys.executable, str(script), "--kills", "4"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(
        r"4 kills, after steps \[.*\]; \d+ runs came to their end, all with the same bits\n", done.stdout
    )


# Asked to stop


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_and_saves(
    number: signal.Signals, path: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    with monkeypatch.context() as patch:
        after_step(patch, 6, lambda: os.kill(os.getpid(), number))
        run = Run(folder=tmp_path / "run", threads=1)
        with pytest.raises(StoppedError, match=r"^stopped after step 7, and saved$") as stopped:
            train(recipe(path), run)
    assert any(line.startswith("finishing this step and saving; a second signal") for line in run.said)
    assert stopped.value.exit_status == 128 + number
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before
    assert sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir()) == ["step-00000006", "step-00000007"]
    assert not (tmp_path / "run" / "results.json").exists()
    carry_out(path, tmp_path / "run", resume=True)
    assert learnt(tmp_path / "run") == learnt(whole)


def test_a_signal_while_a_line_is_written_is_heeded_in_silence() -> None:
    def busy(line: str) -> None:
        raise RuntimeError(f"reentrant call, for {line}")  # as Python's streams refuse it

    save = Save(Path("nowhere"), every=1, keep=1, warn=busy)
    save.note(signal.SIGINT, None)
    assert save.heard == signal.SIGINT
    with pytest.raises(KeyboardInterrupt):
        save.note(signal.SIGINT, None)


def test_two_signals_stop_at_once_and_lose_only_the_step(
    path: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def impatient() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        after_step(patch, 6, impatient)
        with pytest.raises(KeyboardInterrupt):
            carry_out(path, tmp_path / "run")
    carry_out(path, tmp_path / "run", resume=True)
    assert learnt(tmp_path / "run") == learnt(whole)


def test_a_signal_in_the_last_step_leaves_the_tests_for_later(
    path: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        after_step(patch, 11, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(StoppedError, match="after step 12"):
            carry_out(path, tmp_path / "run")
    carry_out(path, tmp_path / "run", resume=True)
    assert learnt(tmp_path / "run") == learnt(whole)


def test_a_run_in_another_thread_does_not_listen_to_signals(path: Path, tmp_path: Path) -> None:
    found: list[Any] = []
    work = threading.Thread(target=lambda: found.append(carry_out(path, tmp_path / "run", "training.steps=2")))
    work.start()
    work.join()
    assert found[0]["steps"] == 2


# A disk that is full


class Disk:
    """Whether the files of a folder can be opened for writing, made, or moved: not from one such call on.

    Python tells of each of these calls before it makes it.
    """

    def __init__(self) -> None:
        self.folder, self.calls, self.room = "", 0, 10**9
        sys.addaudithook(self.hear)  # for good: there is no way to take one away

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.folder or event not in ("open", "os.mkdir", "os.rename"):
            return
        if not str(arguments[0]).startswith(self.folder) or (event == "open" and not writes(arguments)):
            return
        self.calls += 1
        if self.calls > self.room:
            raise OSError(ENOSPC, os.strerror(ENOSPC), str(arguments[0]))

    @contextmanager
    def full_after(self, calls: int, folder: Path) -> Iterator[None]:
        self.folder, self.calls, self.room = str(folder), 0, calls
        try:
            yield
        finally:
            self.folder = ""


def writes(arguments: tuple[Any, ...]) -> bool:
    """Whether a file is opened to be written."""
    return bool((arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


DISK = Disk()
FEW = ("training.steps=3", "evaluation.every=2")


@pytest.fixture(scope="module")
def few(path: Path) -> dict[str, Any]:
    """A run of three steps."""
    carry_out(path, path.parent / "few", *FEW)
    return learnt(path.parent / "few")


def test_a_disk_that_is_full_from_any_call_on_loses_nothing(path: Path, few: dict[str, Any], tmp_path: Path) -> None:
    broken, room = 0, 0
    while True:
        folder = tmp_path / f"run-{room}"
        try:
            with DISK.full_after(room, folder):
                carry_out(path, folder, *FEW)
        except ClearheadError as e:
            assert "\n" not in str(e) and os.strerror(ENOSPC) in str(e), e
            broken += 1
            carry_out(path, folder, *FEW, resume=True)
        assert learnt(folder) == few, room
        if DISK.calls <= room:
            break
        shutil.rmtree(folder)
        room += 7
    assert broken > 5


def test_a_disk_that_fills_up_as_it_is_written_to(path: Path, whole: Path, tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mount.returncode:
        pytest.skip("only root can make a small disk")
    try:
        for size in (60, 120, 180):
            subprocess.run(["mount", "-o", f"remount,size={size}k", str(place)], check=True)
            said: list[str] = []
            run = Run(folder=place / "run", threads=1, resume=True, said=said)
            with pytest.raises(ClearheadError) as caught:
                train(recipe(path), run)
            assert "\n" not in str(caught.value) and os.strerror(ENOSPC) in str(caught.value)
        subprocess.run(["mount", "-o", "remount,size=20m", str(place)], check=True)
        carry_out(path, place / "run", resume=True)
        assert learnt(place / "run") == learnt(whole)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)  # the token ids are still mapped


def test_a_checkpoint_that_has_no_room_is_told_of_and_the_run_goes_on(
    path: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clearhead.training.runs import checkpoint

    save, calls = checkpoint.save_file, iter(range(100))

    def sometimes(*arguments: Any) -> None:
        if next(calls) in (3, 4):
            Path(arguments[1]).write_bytes(b"half of it")
            raise OSError(ENOSPC, os.strerror(ENOSPC))
        save(*arguments)

    monkeypatch.setattr(checkpoint, "save_file", sometimes)
    run = Run(folder=tmp_path / "run", threads=1)
    train(recipe(path), run)
    assert [line for line in run.said if "could not be written" in line] == [
        f"the checkpoint of step {step} could not be written (No space left on device); the one of step 3 is whole; "
        "make room, then resume"
        for step in (4, 5)
    ]
    assert learnt(tmp_path / "run") == learnt(whole)


def test_lines_of_the_log_wait_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    log = JsonLog(tmp_path / "log.jsonl", 1, said.append)
    log.write({"step": 1})
    with DISK.full_after(0, tmp_path):
        log.write({"step": 2})
        log.write({"step": 3})
    assert said == [f"{tmp_path}/log.jsonl cannot be written (No space left on device); its lines wait until it can"]
    log.write({"step": 4})
    assert [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [1, 2, 3, 4]


# No number


def test_a_loss_that_is_no_number_ends_the_run_with_what_to_do(path: Path, tmp_path: Path) -> None:
    wild = ("training.lr=1e30", "training.clip=null", "training.schedule.kind=constant", "training.schedule.warmup=0")
    with pytest.raises(TrainingError) as caught:
        carry_out(path, tmp_path / "run", *wild)
    remedy = "begin anew in another folder, with a lower training.lr or training.clip"
    wrong, said, kept = str(caught.value).partition(remedy)
    assert said and re.fullmatch(r"the (loss|loss on dev|gradient's length) is (nan|inf), after step \d+; ", wrong)
    assert re.fullmatch(r" \((the weights of step .* are kept|there is no checkpoint yet)\)", kept)


# Damage


def test_a_truncated_checkpoint_is_passed_over_with_a_warning(path: Path, whole: Path, copy: Path) -> None:
    newest = copy / "checkpoints" / "step-00000012"
    for name in ("tensors.safetensors", "state.json"):
        data = (whole / "checkpoints" / newest.name / name).read_bytes()
        (newest / name).write_bytes(data[: len(data) // 2])
        run = Run(folder=copy, threads=1, resume=True)
        train(recipe(path), run)
        assert run.said[0].startswith(f"warning: {newest} ") and "\n" not in run.said[0]
        assert run.said[1] == "going on after step 11"
        assert learnt(copy) == learnt(whole)


def test_where_no_checkpoint_can_be_read_nothing_is_begun_anew(path: Path, copy: Path) -> None:
    for place in (copy / "checkpoints").iterdir():
        (place / "tensors.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="is damaged"):
        carry_out(path, copy, resume=True)


def test_what_a_killed_process_left_half_written_is_swept_away(path: Path, copy: Path) -> None:
    for name in ("checkpoints/.writing-abc", "data/.train-abc", ".model-abc"):
        (copy / name).mkdir()
        (copy / name / "file").write_text("half")
    (copy / ".results.json.writing").write_text("half")
    (copy / "log.jsonl").write_text((copy / "log.jsonl").read_text() + '{"step": 1')
    carry_out(path, copy, resume=True)
    hidden = [p.name for p in copy.rglob(".*")]
    assert hidden in ([".lock"], [])
    assert json.loads((copy / "log.jsonl").read_text().splitlines()[-1])["step"] == 12
