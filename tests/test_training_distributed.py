"""Training on several processes of this machine: what is learnt does not depend on how many they are, on how many
wrote a checkpoint, or that one of them was lost."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import training_lost
from clearhead import load
from clearhead.training.data.loader import Loader, Place
from clearhead.training.objectives.batch import Batch, dealt
from clearhead.training.ranks.rounds import named
from clearhead.training.runs.checkpoint import found
from clearhead.training.runs.run import Run, train
from training_ranks import Job, Learnt, fail_in_turn, free_port, learn, objective, save_without_room, together
from training_runs import recipe, write_recipe

CLOSE = 1e-5
Weights = dict[str, torch.Tensor]
HERE = Path(__file__).parent


def check_same(one: Learnt, other: Learnt, first: int = 0) -> None:
    """Losses and gradients of every step from the first on, the loss on held-out data, and weights."""
    assert one.losses[first:] == pytest.approx(other.losses, abs=CLOSE)
    assert one.gradients[first:] == pytest.approx(other.gradients, rel=CLOSE)
    assert one.tokens[first:] == other.tokens
    assert one.dev == pytest.approx(other.dev, abs=CLOSE)
    for name in one.weights:
        torch.testing.assert_close(other.weights[name], one.weights[name], rtol=0, atol=1e-3)  # Adam divides by roots
    assert one.average.keys() == other.average.keys()
    for name in one.average:
        torch.testing.assert_close(other.average[name], one.average[name], rtol=0, atol=1e-3)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Learnt]:
    """A run of one process, with a checkpoint in the middle."""
    job = Job(folder=tmp_path_factory.mktemp("alone"), save=(10,), average="ema")
    return job, learn(job, 1)


@pytest.fixture(scope="module", params=["ddp", "fsdp"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Learnt]:
    """The same of two processes."""
    job = Job(folder=tmp_path_factory.mktemp(request.param), how=request.param, save=(10,), average="ema")
    return job, learn(job, 2)


def test_two_processes_learn_what_one_does(alone: tuple[Job, Learnt], pair: tuple[Job, Learnt]) -> None:
    assert len(alone[1].losses) == 20
    assert alone[1].losses[-1] < alone[1].losses[0]
    check_same(alone[1], pair[1])


@pytest.mark.parametrize(
    ("how", "world", "task", "architecture", "settings"),
    [
        ("ddp", 2, "causal", "llama", {"accumulate": 4, "consistency": 0.5}),  # each takes whole batches
        ("fsdp", 3, "masked", "bert", {"accumulate": 2, "smoothing": 0.1}),  # each takes rows of both
        ("ddp", 3, "translation", "rnn", {}),
    ],
)
def test_however_an_update_is_shared(
    tmp_path: Path, how: str, world: int, task: str, architecture: str, settings: dict[str, float]
) -> None:
    jobs = (
        Job(
            folder=tmp_path / name,
            how=how,
            task=task,
            architecture=architecture,
            settings=settings,
            average="last",
            steps=8,
        )
        for name in ("one", "several")
    )
    one, several = (learn(job, n) for job, n in zip(jobs, (1, world), strict=True))
    check_same(one, several)


@pytest.mark.parametrize(("how", "world"), [("ddp", 1), ("fsdp", 3)])
def test_a_checkpoint_of_two_goes_on_on_any_number(
    pair: tuple[Job, Learnt], how: str, world: int, tmp_path: Path
) -> None:
    (tmp_path / "checkpoints").symlink_to(pair[0].folder / "checkpoints")
    check_same(pair[1], learn(Job(folder=tmp_path, how=how, average="ema", resume=True), world), first=10)


def test_a_checkpoint_of_one_goes_on_on_two(alone: tuple[Job, Learnt], tmp_path: Path) -> None:
    (tmp_path / "checkpoints").symlink_to(alone[0].folder / "checkpoints")
    check_same(alone[1], learn(Job(folder=tmp_path, how="fsdp", average="ema", resume=True), 2), first=10)


def test_on_as_many_processes_a_run_goes_on_to_the_bit(tmp_path: Path) -> None:
    job = Job(folder=tmp_path, how="fsdp", average="last", steps=8, dropout={"residual": 0.1, "attention": 0.1})
    whole, rest = learn(replace(job, save=(4,)), 2), learn(replace(job, resume=True), 2)
    assert rest.losses == whole.losses[4:]
    for weights in ("weights", "average"):
        before, after = getattr(whole, weights), getattr(rest, weights)
        assert before
        assert all(torch.equal(before[name], after[name]) for name in before)


def test_nothing_on_disk_is_a_pickle(pair: tuple[Job, Learnt]) -> None:
    (place,) = found(pair[0].folder / "checkpoints")
    names = sorted(path.name for path in place.iterdir())
    assert names == [f"shard-0000{i}-model-00001-of-00001.safetensors" for i in (1, 2)] + ["state.json"]
    assert not [path for path in place.parent.iterdir() if path != place]


def test_a_checkpoint_that_one_rank_cannot_write_is_none(tmp_path: Path) -> None:
    together(2, save_without_room, Job(folder=tmp_path, how="fsdp"))
    for rank in range(2):
        said = (tmp_path / f"said-{rank}").read_text()
        assert said.startswith(
            "the checkpoint of step 2 could not be written (File too large); the one of step 1 is whole"
        )
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]


def test_an_error_of_rank_0_is_everybodys(tmp_path: Path) -> None:
    together(3, fail_in_turn, tmp_path)
    assert {(tmp_path / f"said-{rank}").read_text() for rank in range(3)} == {"there is no such thing"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Weights]:
    """A recipe, and what two processes make of it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    path = write_recipe(folder / "recipe")
    return path, carried_out(path, folder / "run")


def carried_out(path: Path, folder: Path, *overrides: str) -> Weights:
    """The model that a recipe on two processes exports."""
    together(2, training_lost.main, path, folder, "0", "training.consistency=0", *overrides)
    return load_file(folder / "model" / "model.safetensors")


def test_parts_are_exported_whole(undisturbed: tuple[Path, Weights], tmp_path: Path) -> None:
    path, whole = undisturbed
    made = carried_out(path, tmp_path / "run", "training.parallel=fsdp")
    assert made.keys() == whole.keys()
    for name in whole:
        if not name.endswith("k_proj.bias"):  # its gradient is noise around 0, which Adam scales up
            torch.testing.assert_close(made[name], whole[name], rtol=0, atol=1e-3)
    assert load(tmp_path / "run" / "model").config.d_model == 8


def test_a_run_outlives_a_process(undisturbed: tuple[Path, Weights], tmp_path: Path) -> None:
    path, whole = undisturbed
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    script = [str(HERE / "training_lost.py"), str(path), str(tmp_path), "1", "training.consistency=0", "saving.every=3"]
    quick = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*torchrun, *script], env=quick, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert "another process of this run was lost" in done.stderr
    assert f"going on after step {training_lost.KILLED_AFTER // 3 * 3}" in done.stdout
    lost = load_file(tmp_path / "model" / "model.safetensors")
    assert lost.keys() == whole.keys()
    assert all(torch.equal(whole[name], lost[name]) for name in whole)


@pytest.mark.parametrize("how", ["ddp", "fsdp"])
def test_two_processes_have_teachers_as_one_has(how: str, tmp_path: Path) -> None:
    path, taught = write_recipe(tmp_path / "recipe"), "teachers={forward: 1, backward: 1, begin: true}"
    carried_out(path, tmp_path / "run", taught, f"training.parallel={how}", "training.steps=3")
    place = tmp_path / "run" / "teachers"
    for name in ("forward-1", "backward-1"):
        assert json.loads((place / name / "results.json").read_text())["processes"] == 2
        assert len((place / f"{name}.jsonl").read_text().splitlines()) == 28
    assert json.loads((tmp_path / "run" / "report.json").read_text())["sources"]["backward-1"]["kept"] == 28


def test_one_process_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("a process by itself has nobody to talk to")

    for name in ("rendezvous", "init_process_group", "new_group", "all_reduce", "broadcast"):
        monkeypatch.setattr(torch.distributed, name, refuse)
    monkeypatch.setattr(torch.nn.parallel, "DistributedDataParallel", refuse)
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    results = train(recipe(write_recipe(tmp_path / "recipe"), "training.steps=2"), Run(folder=tmp_path / "run"))
    assert results["steps"] == 2


@pytest.mark.parametrize(("batches", "world"), [(1, 1), (1, 4), (4, 4), (4, 2), (6, 4), (3, 2), (2, 6)])
def test_ranks_share_every_row_of_an_update(batches: int, world: int) -> None:
    plan = [np.arange(10 * i, 10 * i + 5 + i) for i in range(batches + 2)]
    loaders = [Loader(lambda epoch: plan, rank=rank, world=world) for rank in range(world)]
    shares = [loader.update(batches) for loader in loaders]
    assert len({len(some) for some in shares}) == 1, "each rank comes as often to where gradients are added"
    rows = sorted(row for some in shares for share in some for row in share.rows[share.first :: share.ranks].tolist())
    assert rows == sorted(row for batch in plan[:batches] for row in batch.tolist())
    assert all(loader.place == Place(0, batches) for loader in loaders)


def test_parts_of_a_batch_are_the_batch() -> None:
    task = objective("masked")
    batch = task.batch(task.plan(0)[0], 0)
    assert batch.part(0, 1) is batch
    parts = [batch.part(first, 3) for first in range(3)]
    assert [len(part.ids) for part in parts] == [2, 2, 1]
    for first, part in enumerate(parts):
        assert torch.equal(part.ids, batch.ids[first::3])
        assert part.lengths == batch.lengths[first::3]
        where = batch.places // batch.width % 3 == first
        columns = batch.places[where] % batch.width
        assert torch.equal(part.places % part.width, columns)
        assert torch.equal(part.labels, batch.labels[where])


def test_who_has_no_row_takes_part_without_a_score() -> None:
    task = objective("translation")
    batch = task.batch(task.plan(0)[0][:2], 0)
    part = batch.part(2, 4)
    assert len(part.ids) == len(part.lengths) == 1
    assert len(part.places) == 0
    assert len(part.labels) == 0


def test_held_out_batches_go_round() -> None:
    def count(batch: Batch) -> int:
        return len(batch.labels)

    batches = objective("translation").held_out()
    assert len(batches) % 4
    shares = [dealt(batches, rank, 4) for rank in range(4)]
    assert len({len(share) for share in shares}) == 1
    assert sum(count(batch) for share in shares for batch in share) == sum(map(count, batches))


def test_a_start_is_not_taken_for_an_earlier_one() -> None:
    """Each time all ranks come anew to a store that keeps everything; those other than rank 0 may come first."""
    port = free_port()
    store = torch.distributed.TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False)
    names = []
    for order in ([0, 1, 2], [1, 2, 0], [2, 0, 1]):
        found: dict[int, str] = {}

        def come(rank: int, found: dict[int, str] = found) -> None:
            own = torch.distributed.TCPStore("127.0.0.1", port, is_master=False, timeout=timedelta(seconds=60))
            found[rank] = named(own, rank, 3)

        threads = [threading.Thread(target=come, args=(rank,)) for rank in order]
        for thread in threads:
            thread.start()
            thread.join(0.2)
        for thread in threads:
            thread.join(60)
        assert len(found) == 3
        assert len(set(found.values())) == 1
        names.append(found[0])
    assert len(set(names)) == 3
    del store
