"""LoRA: it begins as nothing, trains alone, merges into the weights, and peft reads and writes what we do."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers as tf
from safetensors.numpy import load_file, save_file
from torch import Tensor

import clearhead as ch
from clearhead.checkpoints.export import export
from clearhead.checkpoints.opening import open_checkpoint
from clearhead.config import ModelConfig, SpecialTokens
from clearhead.errors import CheckpointError, ConfigError, DownloadError, UnknownModelError
from clearhead.model.dropout import Dropout
from clearhead.model.loading import build
from clearhead.model.transformer import Transformer
from clearhead.training.learning.averaging import LastAverage, MovingAverage
from clearhead.training.learning.optimiser import Adam, build_optimiser
from clearhead.training.learning.schedules import constant
from clearhead.training.models.adapters import save_adapter
from clearhead.training.models.learners import weights_of
from clearhead.training.models.lora import add_lora, low_rank
from clearhead.training.models.merging import merge_adapter
from clearhead.training.objectives.batch import Batch
from clearhead.training.recipe.keys import Lora
from clearhead.training.trainer import Settings, Trainer
from models import BY_FAMILY, random_weights

LABELS = ("O", "B-X", "I-X")
CONFIGS = BY_FAMILY | {"bert": replace(BY_FAMILY["bert"], head="token_labels", head_bias=False, labels=LABELS)}
HF: dict[str, Any] = {
    "transformer": tf.MarianMTModel,
    "bert": tf.BertForTokenClassification,
    "gpt2": tf.GPT2LMHeadModel,
    "llama": tf.LlamaForCausalLM,
    "qwen2": tf.Qwen2ForCausalLM,
    "t5": tf.T5ForConditionalGeneration,
    "bloom": tf.BloomForCausalLM,
}
HEAD = ("head.projection.weight", "head.projection.bias")
USUAL = ("query", "value")
SOME = ("query", "key", "attention.output", "mlp.up")  # of layers that transformers fuses some, and some alone


def fresh(family: str, dtype: str = "float32") -> Transformer:
    """A random model to be trained."""
    config = CONFIGS[family]
    return build(config, random_weights(config), dtype, "cpu").requires_grad_(True)


def adapted(family: str, targets: tuple[str, ...] = USUAL, *, drawn: bool = True, **keys: Any) -> Transformer:
    """The same with changes that are not zero, and a head that is not the file's."""
    torch.manual_seed(1)
    model = fresh(family, keys.pop("dtype", "float32"))
    add_lora(
        model,
        Lora(rank=3, alpha=5.0, targets=targets, **keys),
        anew=HEAD if model.config.head == "token_labels" else (),
    )
    if drawn:
        for p in model.parameters():
            if p.requires_grad:
                p.data.normal_(std=0.5)
    return model


def inputs(config: ModelConfig) -> tuple[Tensor, list[int], Tensor | None]:
    """Two rows, one shorter, and a target where there is an encoder beside a decoder."""
    drawn = torch.Generator().manual_seed(3)
    ids = torch.randint(3, config.vocab_size, (2, 9), generator=drawn)
    both = config.kind == "encoder-decoder"
    return ids, [9, 9], torch.randint(3, config.vocab_size, (2, 7), generator=drawn) if both else None


@torch.no_grad()
def logits(model: Transformer) -> Tensor:
    return model.eval()(*inputs(model.config))


@torch.no_grad()
def theirs(model: Any, config: ModelConfig) -> Tensor:
    """transformers' logits of the same."""
    ids, _, target = inputs(config)
    extra = {} if target is None else {"decoder_input_ids": target}
    return model.eval()(input_ids=ids, **extra).logits


def write_base(folder: Path, family: str) -> Path:
    """The model before it was changed."""
    special = SpecialTokens(pad=0, decoder_start=0, eos=(1,))
    export(folder, CONFIGS[family], random_weights(CONFIGS[family]), special=special)
    return folder


# The change itself


@pytest.mark.parametrize("family", CONFIGS)
def test_a_changed_model_begins_as_it_was(family: str) -> None:
    before = logits(fresh(family))
    model = adapted(family, SOME, drawn=False)
    assert len(low_rank(model)) >= 6
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize("family", CONFIGS)
def test_merged_weights_compute_the_same(family: str) -> None:
    model = adapted(family, SOME, dtype="float64")
    for layer in low_rank(model).values():
        layer.double()
    whole = build(model.config, [(n, p.double().numpy()) for n, p in merged(model)], "float64", "cpu")
    assert (logits(model) - logits(fresh(family, "float64"))).abs().max() > 0.1
    torch.testing.assert_close(logits(whole), logits(model), rtol=0, atol=1e-10)


def merged(model: Transformer) -> list[tuple[str, Tensor]]:
    """Merged weights in full precision; `weights_of`, which rounds them to float32, must have the same ones."""
    layers = low_rank(model)
    names = [(n, torch.from_numpy(w)) for n, w in weights_of(model)]
    own = {f"{path}.weight": layer.merged() for path, layer in layers.items()}
    exact = {n: own.get(n, dict(model.named_parameters())[n].detach()) for n, _ in names}
    for name, rounded in names:
        assert torch.equal(exact[name].float(), rounded)
    return list(exact.items())


def test_the_formula_by_hand() -> None:
    layer = next(iter(low_rank(adapted("gpt2")).values()))
    x = torch.randn(4, 24)
    expected = x @ layer.weight.T + layer.bias + (5.0 / 3) * (x @ layer.lora_a.T) @ layer.lora_b.T
    torch.testing.assert_close(layer.eval()(x), expected, rtol=1e-5, atol=1e-5)
    assert layer.lora_a.shape == (3, 24)
    assert layer.lora_b.shape == (24, 3)


def test_dropout_is_for_training() -> None:
    model = adapted("gpt2", dropout=0.5)
    ids, lengths, _ = inputs(model.config)
    model.train()
    assert not torch.equal(model(ids, lengths), model(ids, lengths))
    model.eval()
    assert torch.equal(model(ids, lengths), model(ids, lengths))


def test_targets_are_ends_of_names() -> None:
    model = adapted("t5", ("cross_attention.query", "decoder.layers.1.attention.value"))
    assert sorted(low_rank(model)) == [
        "decoder.layers.0.cross_attention.query",
        "decoder.layers.1.attention.value",
        "decoder.layers.1.cross_attention.query",
    ]
    with pytest.raises(ConfigError, match=r"ends in 'q_proj'; choose from down, key, output, query, up, value"):
        add_lora(fresh("gpt2"), Lora(targets=("query", "q_proj")))


# Training


class Copying:
    """An objective of one batch: say each token again."""

    def __init__(self, config: ModelConfig) -> None:
        ids, lengths, _ = inputs(config)
        labels = ids % len(config.labels) if config.labels else ids
        self.made = Batch(ids=ids, lengths=lengths, places=torch.arange(ids.numel()), labels=labels.flatten())

    def plan(self, epoch: int) -> list[Any]:
        return [np.arange(2)]

    def batch(self, rows: Any, epoch: int) -> Batch:
        return self.made

    def held_out(self) -> list[Batch]:
        return [self.made]


def trained(model: Transformer, **settings: Any) -> Trainer:
    """The model after some steps."""
    trainer = Trainer(
        model,
        Copying(model.config),
        build_optimiser(model, Adam(lr=0.02, weight_decay=0.1)),
        constant(0),
        Settings(steps=20, dropout=Dropout(residual=0.1), **settings),
    )
    trainer.run()
    return trainer


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_only_the_changes_learn(family: str, precision: str) -> None:
    model = adapted(family, drawn=False, dropout=0.1)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    start = Trainer(model, Copying(model.config), build_optimiser(model, Adam(lr=0.1)), constant(0), Settings(steps=1))
    first = start.evaluate()
    trainer = trained(model, precision=precision)
    learning = {n for n in before if n.endswith(("lora_a", "lora_b")) or (family == "bert" and n in HEAD)}
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name]) == (name not in learning), name
    assert trainer.evaluate() < 0.8 * first
    assert {id(p) for p in trainer.optimiser.state} == {id(p) for n, p in model.named_parameters() if n in learning}


def test_averages_hold_what_is_trained() -> None:
    model = adapted("gpt2")
    moving, last = MovingAverage(model, 0.9), LastAverage(2, 1)
    moving.update(model, 0)
    last.update(model, 0)
    own = {name for name, p in model.named_parameters() if p.requires_grad}
    assert moving.weights.keys() == last.weights.keys() == own
    assert len(own) == 2 * len(low_rank(model))


def test_the_same_seed_gives_the_same_weights() -> None:
    def run(seed: int) -> dict[str, Tensor]:
        torch.manual_seed(seed)
        model = fresh("gpt2")
        add_lora(model, Lora(rank=2, dropout=0.2))
        trained(model)
        return dict(weights(model))

    first, again, other = run(5), run(5), run(6)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def weights(model: Transformer) -> list[tuple[str, Tensor]]:
    return [(name, torch.from_numpy(value.copy())) for name, value in weights_of(model)]


# Adapters in files


@pytest.mark.parametrize("targets", [USUAL, SOME], ids=["usual", "some"])
@pytest.mark.parametrize("family", HF)
def test_peft_loads_an_adapter_with_equal_logits(tmp_path: Path, family: str, targets: tuple[str, ...]) -> None:
    model, base = adapted(family, targets), write_base(tmp_path / "base", family)
    save_adapter(tmp_path / "adapter", model, "base")
    loaded = peft.PeftModel.from_pretrained(HF[family].from_pretrained(base), tmp_path / "adapter")
    expected = logits(model)
    torch.testing.assert_close(theirs(loaded, model.config), expected, rtol=1e-4, atol=2e-4)

    merge_adapter(tmp_path / "adapter", base, tmp_path / "whole")
    whole = HF[family].from_pretrained(tmp_path / "whole")
    torch.testing.assert_close(theirs(whole, model.config), expected, rtol=1e-4, atol=2e-4)
    assert open_checkpoint(tmp_path / "whole").special == open_checkpoint(base).special


@pytest.mark.parametrize("executor", ["torch", "native"])
@pytest.mark.parametrize("family", HF)
def test_an_adapter_opens_as_the_model_it_makes(tmp_path: Path, family: str, executor: str) -> None:
    model, base = adapted(family, SOME), write_base(tmp_path / "base", family)
    save_adapter(tmp_path / "adapter", model, str(base))
    opened = ch.load(tmp_path / "adapter", executor=executor, dtype="float32")
    merge_adapter(tmp_path / "adapter", base, tmp_path / "whole")
    whole = ch.load(tmp_path / "whole", executor=executor, dtype="float32")
    assert opened.config == whole.config
    mine, merged = dict(opened.checkpoint.weights()), dict(whole.checkpoint.weights())
    assert mine.keys() == merged.keys()
    for name, array in merged.items():
        np.testing.assert_array_equal(mine[name], array)


def test_an_adapter_over_a_file_that_is_quantised(tmp_path: Path) -> None:
    """The matrices it leaves alone keep their blocks, and the others are changed as floats."""
    model, base = adapted("llama", ("query",)), write_base(tmp_path / "base", "llama")
    save_adapter(tmp_path / "adapter", model, str(base))
    checkpoint = open_checkpoint(tmp_path / "adapter")
    kinds = {tensor.dtype for tensor in checkpoint.tensors.values()}
    assert kinds == {"F32", "F32 + 3"}
    opened = ch.load(tmp_path / "adapter", executor="native", dtype="int8")
    assert opened.logits([1, 2, 3]).shape == (3, model.config.vocab_size)


def test_the_base_of_an_adapter_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_adapter(tmp_path / "adapter", adapted("bert"), str(tmp_path / "gone"))
    with pytest.raises(UnknownModelError, match="gone"):
        ch.load(tmp_path / "adapter")
    settings = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(settings | {"base_model_name_or_path": None}))
    with pytest.raises(CheckpointError, match="names no base"):
        ch.load(tmp_path / "adapter")
    (tmp_path / "adapter" / "adapter_config.json").write_text(
        json.dumps(settings | {"base_model_name_or_path": str(tmp_path / "adapter")})
    )
    with pytest.raises(CheckpointError, match="over an adapter"):
        ch.load(tmp_path / "adapter")
    monkeypatch.setenv("CLEARHEAD_CACHE", str(tmp_path / "cache"))
    named = settings | {"base_model_name_or_path": "minilm-l6-v2"}
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(named))
    with pytest.raises(DownloadError, match="minilm-l6-v2 is not in the cache"):
        ch.load(tmp_path / "adapter", offline=True)


def test_an_adapter_is_small_and_says_its_labels(tmp_path: Path) -> None:
    model = adapted("bert")
    save_adapter(tmp_path / "adapter", model, "a-base")
    tensors = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert sum(t.size for t in tensors.values()) == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert "base_model.model.classifier.weight" in tensors
    said = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (said["r"], said["lora_alpha"], said["base_model_name_or_path"]) == (3, 5.0, "a-base")
    assert json.loads((tmp_path / "adapter" / "labels.json").read_text()) == list(LABELS)
    with pytest.raises(CheckpointError, match="not empty"):
        save_adapter(tmp_path / "adapter", model, "a-base")
    with pytest.raises(ConfigError, match="no low-rank changes"):
        save_adapter(tmp_path / "other", fresh("bert"), "a-base")


def test_adapters_that_peft_made(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", "gpt2")
    for number, keys in enumerate(
        (
            {"target_modules": ["c_attn", "c_proj"], "r": 4, "lora_alpha": 6, "fan_in_fan_out": True},
            {
                "target_modules": ["c_attn", "c_fc"],
                "r": 4,
                "use_rslora": True,
                "fan_in_fan_out": True,
                "rank_pattern": {"c_fc": 2},
                "alpha_pattern": {"c_fc": 3},
            },
        )
    ):
        made = peft.get_peft_model(tf.GPT2LMHeadModel.from_pretrained(base), peft.LoraConfig(**keys))
        for name, p in made.named_parameters():
            if "lora_" in name:
                p.data.normal_(std=0.4)
        made.save_pretrained(tmp_path / f"adapter{number}")
        merge_adapter(tmp_path / f"adapter{number}", base, tmp_path / f"whole{number}")
        ours = open_checkpoint(tmp_path / f"whole{number}")
        expected = theirs(made, ours.config)
        torch.testing.assert_close(
            logits(build(ours.config, ours.weights(), "float32", "cpu")), expected, rtol=1e-4, atol=1e-4
        )
        assert (expected - logits(fresh("gpt2"))).abs().max() > 0.1


def setting(**keys: Any) -> Callable[[Path], object]:
    """A change of an adapter's settings."""

    def write(folder: Path) -> None:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | keys))

    return write


def tensor(name: str, value: Any) -> Callable[[Path], object]:
    """A change of one of its tensors."""

    def write(folder: Path) -> None:
        path = folder / "adapter_model.safetensors"
        save_file(load_file(path) | {f"base_model.model.{name}": value}, path)

    return write


def without(name: str) -> Callable[[Path], object]:
    """One of its tensors gone; all for an empty name."""

    def write(folder: Path) -> None:
        path = folder / "adapter_model.safetensors"
        save_file({key: value for key, value in load_file(path).items() if name not in key}, path)

    return write


A = "transformer.h.0.attn.c_attn.lora_A.weight"
NORM = "transformer.h.0.ln_1.lora_{}.weight"
DAMAGE: list[tuple[Callable[[Path], object], str]] = [
    (setting(peft_type="IA3"), "type 'IA3'"),
    (setting(bias="all"), "bias 'all'"),
    (setting(use_dora=True), "use_dora is True"),
    (setting(lora_alpha="much"), "lora_alpha is 'much'"),
    (setting(lora_alpha=float("nan")), "lora_alpha is nan"),
    (setting(lora_alpha=10**400), "it must be a number"),
    (setting(alpha_pattern={"(a+)+$": 1}), "only names of layers"),
    (setting(alpha_pattern=["attn"]), "no object of names"),
    (without(A), "has lora_B alone"),
    (without(""), "changes nothing"),
    (tensor(A, np.zeros((0, 24), np.float32)), "do not fit"),
    (tensor("transformer.h.9.attn.c_attn.lora_A.weight", np.zeros((6, 24), np.float32)), "has no place"),
    (tensor(A, np.zeros((5, 24), np.float32)), "do not fit"),
    (tensor(A, np.zeros((6, 20), np.float32)), "do not fit"),
    (tensor(A, np.zeros(6, np.float32)), "do not fit"),
    (tensor("transformer.wte.weight", np.zeros((2, 24), np.float32)), "does not fit"),
    (lambda folder: (folder / "adapter_model.safetensors").unlink(), "there is no adapter_model.safetensors"),
    (lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"no"), "damaged"),
    (lambda folder: (folder / "adapter_config.json").unlink(), "there is no adapter_config.json"),
    (lambda folder: (folder / "labels.json").write_text("{"), "cannot be read"),
    (lambda folder: (folder / "labels.json").write_text("[" * 100_000), "cannot be read"),
    (lambda folder: (folder / "labels.json").write_text("[1]"), "no list of labels"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGE, ids=[message for _, message in DAMAGE])
def test_a_damaged_adapter_is_one_clear_error(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    base = write_base(tmp_path / "base", "gpt2")
    save_adapter(tmp_path / "adapter", adapted("gpt2"), "base")
    damage(tmp_path / "adapter")
    with pytest.raises(CheckpointError, match=message.replace("(", r"\(")) as caught:
        merge_adapter(tmp_path / "adapter", base, tmp_path / "whole")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "whole").exists()


def test_a_change_of_what_is_no_matrix_is_refused(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", "gpt2")
    save_adapter(tmp_path / "adapter", adapted("gpt2"), "base")
    for letter, shape in (("A", (6, 24)), ("B", (24, 6))):
        tensor(NORM.format(letter), np.zeros(shape, np.float32))(tmp_path / "adapter")
    with pytest.raises(CheckpointError, match=r"ln_1 has A .* which do not fit"):
        merge_adapter(tmp_path / "adapter", base, tmp_path / "whole")
