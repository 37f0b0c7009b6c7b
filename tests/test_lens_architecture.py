"""The architecture as a view: parts and their counts, links to code and to a trace, drawings, and `inspect`'s files."""

import importlib
import inspect
import json
import re
import subprocess
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import tiny
from clearhead.config import ModelConfig
from clearhead.errors import OptionError
from clearhead.families.layout import count, layout
from clearhead.lens.architecture import architecture
from clearhead.lens.code import Code, excerpt
from clearhead.lens.diagram.parts import parts
from clearhead.lens.diagram.sheet import Box, Sheet, box_width
from clearhead.lens.diagram.view import ArchitectureView, architecture_view, statistics
from clearhead.model.transformer import Transformer
from clearhead.trace import Trace
from clearhead.trace.schema import places, stacks
from models import BY_FAMILY
from terminal import fails, invoke

LABELS = {"pooler": True, "labels": ("no", "yes"), "head_bias": False}
CONFIGS: dict[str, ModelConfig] = {
    **BY_FAMILY,
    "pooled": replace(BY_FAMILY["bert"], head="none", pooler=True, head_bias=False),
    "sequences": replace(BY_FAMILY["bert"], head="sequence_labels", **LABELS),
    "entities": replace(BY_FAMILY["bert"], head="token_labels", **LABELS | {"pooler": False}),
    "bart": replace(BY_FAMILY["transformer"], position="learned"),
    "types": replace(BY_FAMILY["bert"], position="rotary"),
    "sines": replace(BY_FAMILY["bert"], position="sinusoidal"),
}
EVERY = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def traced(config: ModelConfig, tokens: int = 3) -> Trace:
    """A trace of random numbers at every place."""
    random, trace = np.random.default_rng(3), Trace(config, model="a model")
    for stack in stacks(config):
        trace.begin(stack, first=0, new=tokens, memory=tokens)
        for place in places(config, stack):
            trace.write(place.path, random.normal(size=trace.shape(place, tokens, tokens, tokens)))
        trace.end(stack)
    return trace


def fields(view: ArchitectureView) -> dict[str, Any]:
    """The view as its page reads it."""
    found: dict[str, Any] = json.loads(view.json())["views"][0]
    return found


@EVERY
def test_parts_add_up_to_all_the_weights(config: ModelConfig) -> None:
    found = fields(architecture_view(config))
    assert sum(p["parameters"] * p["each"] for p in found["parts"].values()) == count(layout(config))
    assert found["parameters"] == architecture(config).parameters == count(layout(config))
    assert sum(p["share"] for p in found["parts"].values()) == pytest.approx(1)


@EVERY
def test_every_weight_has_its_place_in_one_part(config: ModelConfig) -> None:
    """By shape, so that no weight can stand for another of the same total."""
    shapes = [w.shape for part in parts(architecture(config)).values() for w in part.weights for _ in range(part.each)]
    assert sorted(shapes) == sorted(layout(config).values())


@EVERY
def test_every_place_of_a_trace_belongs_to_a_part_and_no_part_names_another(config: ModelConfig) -> None:
    named = [path for part in parts(architecture(config)).values() for path in part.paths]
    layers = range(max(config.n_encoder_layers, config.n_decoder_layers))
    shown = {path.replace("{i}", str(i)) for path in named for i in layers}
    assert shown == {place.path for stack in stacks(config) for place in places(config, stack)}


def object_of(code: Code) -> Any:
    """The function or class itself, its module imported."""
    found = importlib.import_module(code.file.removesuffix(".py").replace("/", "."))
    for name in code.title.split("."):
        found = getattr(found, name)
    return found


@EVERY
def test_links_lead_to_the_lines_that_python_itself_finds(config: ModelConfig) -> None:
    links = [code for part in parts(architecture(config)).values() for code in part.code]
    for code in links:
        lines, first = inspect.getsourcelines(inspect.unwrap(object_of(code)))
        assert (code.first, code.source) == (first, "".join(lines).rstrip("\n")), code.title
        assert code.last == first + len(lines) - 1
    assert all(part.code for part in parts(architecture(config)).values())


@EVERY
def test_links_lead_to_what_this_model_is_built_of(config: ModelConfig) -> None:
    model = Transformer(config)
    stack = model.decoder or model.encoder
    assert stack is not None
    layer, name = stack.layers[0], stack.path
    built = {f"{name}.layers.{{i}}.{part}": getattr(layer, part).forward for part in ("attention", "mlp")}
    built[f"{name}.layers.{{i}}.residual"] = layer.sublayers
    if hasattr(layer, "cross_attention"):
        built[f"{name}.layers.{{i}}.cross_attention"] = layer.cross_attention.forward
    if model.head is not None:
        built["head"] = model.head.forward
    if stack.position_bias is not None:
        built[f"{name}.position_bias"] = stack.position_bias.forward
    made = parts(architecture(config))
    for id, method in built.items():
        assert method.__qualname__ in [code.title for code in made[id].code], id
    assert layer.mlp.hidden.__qualname__ in [code.title for code in made[f"{name}.layers.{{i}}.mlp"].code]
    if config.residual == "sequential":
        titles = [code.title for code in made[f"{name}.layers.{{i}}.residual"].code]
        assert layer.residual.__qualname__ in titles


def test_a_name_that_is_gone_is_noticed() -> None:
    assert excerpt("model/attention.py", "Attention.forward").source.lstrip().startswith("def forward(")
    with pytest.raises(LookupError, match=r"attention\.py defines no Attention\.backward"):
        excerpt("model/attention.py", "Attention.backward")


def test_the_view_needs_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys; from clearhead.config import ModelConfig;"
        "from clearhead.lens.diagram.view import architecture_view;"
        "c = ModelConfig(family='gpt2', vocab_size=9, d_model=8, d_ff=8, n_heads=2, n_kv_heads=2, head_dim=4,"
        " n_decoder_layers=1, max_positions=8, position='learned'); v = architecture_view(c); v.json(); str(v);"
        "print(sorted({'torch', 'matplotlib', 'typer'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@EVERY
def test_the_page_finds_every_part_once(config: ModelConfig) -> None:
    found = fields(architecture_view(config, name="a model"))
    listed = [*found["embedding"], *found["head"]]
    for stack in found["stacks"]:
        listed += [*stack["sublayers"], *stack["outside"], stack["residual"]]
    assert sorted(listed) == sorted(found["parts"])
    assert set(found["simplified"]) == {"embedding", *(s["name"] for s in found["stacks"])} | (
        {"head"} if found["head"] else set()
    )
    assert found["placement"] == config.norm_placement and found["residual"] == config.residual
    assert (found["held"], found["stats"]) == ([], {})
    assert dict(found["facts"])["context window"] == f"{config.max_positions:,} tokens"


def test_sublayers_stand_in_the_order_of_computation() -> None:
    def order(config: ModelConfig) -> list[str]:
        return [id.rpartition(".")[2] for id in fields(architecture_view(config))["stacks"][-1]["sublayers"]]

    gpt2 = BY_FAMILY["gpt2"]
    assert order(gpt2) == ["attention_norm", "attention", "mlp_norm", "mlp"]
    assert order(replace(gpt2, norm_placement="post")) == ["attention", "attention_norm", "mlp", "mlp_norm"]
    assert order(BY_FAMILY["palm"]) == ["attention_norm", "attention", "mlp"]
    assert order(BY_FAMILY["t5"])[2:4] == ["cross_attention_norm", "cross_attention"]


@pytest.mark.parametrize("family", ["transformer", "bloom", "bert"])
def test_a_trace_gives_every_part_its_values(family: str) -> None:
    trace = traced(BY_FAMILY[family])
    stack = stacks(trace.config)[-1]
    trace.arrays[f"{stack}.bias"][:, 0, 1:] = -np.inf
    found = fields(architecture_view(BY_FAMILY[family], trace))
    assert found["held"] == trace.paths and set(found["stats"]) == set(trace.paths)
    hidden = trace[f"{stack}.layers.1.mlp.hidden"].astype(np.float64)
    stats = found["stats"][f"{stack}.layers.1.mlp.hidden"]
    assert stats["shape"] == list(hidden.shape)
    assert [stats["mean"], stats["deviation"]] == pytest.approx([hidden.mean(), hidden.std()], rel=1e-5)
    assert [stats["smallest"], stats["largest"]] == pytest.approx([hidden.min(), hidden.max()])
    bias = trace[f"{stack}.bias"]
    hidden_places = found["stats"][f"{stack}.bias"]["hidden"]
    assert hidden_places == int(np.isneginf(bias).sum()) and "hidden" not in stats
    assert found["stats"][f"{stack}.bias"]["smallest"] == pytest.approx(bias[np.isfinite(bias)].min())


def test_a_place_where_all_is_hidden_has_no_statistics() -> None:
    trace = traced(BY_FAMILY["gpt2"])
    trace.arrays["decoder.bias"][:] = -np.inf
    stats = fields(architecture_view(BY_FAMILY["gpt2"], trace))["stats"]["decoder.bias"]
    assert stats == {
        "mean": None,
        "deviation": None,
        "smallest": None,
        "largest": None,
        "hidden": 9,
        "shape": [1, 3, 3],
    }


def test_hidden_keys_are_counted_beside_the_statistics_of_a_bias() -> None:
    bias = np.where(np.tril(np.ones((4, 4), bool)), 0.0, -np.inf)[None]
    found = statistics("decoder.bias", bias)
    assert found == {
        "mean": 0.0, "deviation": 0.0, "smallest": 0.0, "largest": 0.0, "hidden": 6, "shape": [1, 4, 4],
    }  # fmt: skip


@given(arrays(np.float32, array_shapes(min_dims=1, max_dims=4), elements=st.floats(-1e3, 1e3, width=32)))
def test_statistics_head_by_head_are_those_of_the_whole(array: Any) -> None:
    found, wide = statistics("decoder.layers.0.attention.weights", array), array.astype(np.float64)
    assert found["mean"] == pytest.approx(wide.mean(), rel=1e-9, abs=1e-9)
    assert found["deviation"] == pytest.approx(wide.std(), rel=1e-4, abs=1e-3)
    assert (found["smallest"], found["largest"]) == (array.min(), array.max())


def test_a_trace_of_another_model_is_refused() -> None:
    with pytest.raises(OptionError, match="another model"):
        architecture_view(BY_FAMILY["gpt2"], traced(BY_FAMILY["bloom"]))


@EVERY
@pytest.mark.parametrize("simplified", [False, True])
def test_drawn_boxes_hold_their_text_and_stand_apart(
    config: ModelConfig, simplified: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure

    drawn: list[tuple[Box, list[str]]] = []
    plain = Sheet.box

    def box(self: Sheet, lines: Any, *args: Any, **options: Any) -> Box:
        at = plain(self, lines, *args, **options)
        drawn.append((at, list(lines)))
        return at

    monkeypatch.setattr(Sheet, "box", box)
    figure = Figure()
    view = architecture_view(config, simplified=simplified)
    view.draw(figure)
    for at, lines in drawn:
        assert box_width(lines) <= at.width + 1e-6, lines
    for (a, _), (b, _) in combinations(drawn, 2):
        assert abs(a.x - b.x) >= (a.width + b.width) / 2 or a.top <= b.y or b.top <= a.y
    left, right = figure.axes[0].get_xlim()
    assert figure.get_size_inches()[0] == pytest.approx((right - left) / 72)  # text is as large as it says
    words = {line for _, lines in drawn for line in lines}
    if not simplified:
        apart = ("residual", "rotary", "bias", "positions")
        labels = {part.label for part in parts(view.architecture).values() if part.kind not in apart}
        assert labels <= {word.removeprefix("add & ") for word in words}
        attentions = {"encoder": 1, "decoder": 1, "encoder-decoder": 3}
        assert sum("attention" in lines[0] for _, lines in drawn) == attentions[config.kind]


@pytest.mark.parametrize("family", ["transformer", "palm"])
def test_the_drawing_is_a_picture_and_the_same_each_time(family: str) -> None:
    config = BY_FAMILY[family]
    view = architecture_view(config, name="a $model$ <b>\x1b[0m")
    svg = view.svg()
    assert svg == architecture_view(config, name=view.name).svg()
    for said in (f"{config.n_heads} heads × {config.head_dim}", "2 ×", "a $model$ &lt;b&gt;", "parameters"):
        assert said in svg
    assert "\x1b" not in svg and "<b>" not in svg and 'href="http' not in svg
    png = view.png(dpi=40)
    assert png.startswith(b"\x89PNG") and len(png) > 2000


def test_norms_and_sums_are_drawn_where_they_are() -> None:
    post, pre = (architecture_view(replace(BY_FAMILY["gpt2"], norm_placement=p)).svg() for p in ("post", "pre"))
    assert "add &amp; LayerNorm" in post and "after the last layer" not in post
    assert "add &amp;" not in pre and "after the last layer" in pre


@EVERY
def test_positions_are_drawn_where_they_come_in(config: ModelConfig) -> None:
    svg = architecture_view(config).svg()
    words = {
        "sinusoidal": "sinusoidal", "learned": "learned positions", "rotary": "rotary positions turn",
        "alibi": "ALiBi", "relative": "position bias",
    }  # fmt: skip
    assert [scheme for scheme, word in words.items() if f">{word}" in svg] == [config.position]


@EVERY
@pytest.mark.parametrize("width", [80, 64, 40])
def test_both_forms_fit_the_terminal(config: ModelConfig, width: int) -> None:
    for simplified in (False, True):
        text = str(architecture_view(config, simplified=simplified).terminal(width))
        assert max(map(len, text.splitlines())) <= width


def test_the_simplified_form_has_one_block_for_each_stack() -> None:
    text = str(architecture_view(BY_FAMILY["transformer"], simplified=True))
    assert text.count("╭") == text.count("╮") == 4  # embedding, encoder, decoder, head
    assert re.search(r"│ +encoder +├─+▶│", text)
    assert "13,856 parameters (58.7%)" in text and "attention_norm" not in text
    assert str(architecture_view(BY_FAMILY["bert"], simplified=True)).count("╭") == 3


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.gpt2_folder(tmp_path_factory.mktemp("models") / "base")


def test_inspect_writes_pictures_beside_what_it_prints(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clearhead.lens.page.built", lambda name: f"/* {name} */")
    files = {kind: tmp_path / f"a.{kind}" for kind in ("html", "png", "svg")}
    options = [item for kind, path in files.items() for item in (f"--{kind}", path)]
    result = invoke("inspect", base, *options)
    assert result.exit_code == 0 and result.stdout == invoke("inspect", base).stdout
    assert "masked self-attention" in files["svg"].read_text("utf-8")
    assert files["png"].read_bytes().startswith(b"\x89PNG")
    page = files["html"].read_text("utf-8")
    assert '"type":"architecture"' in page and '"begin":"full"' in page and "model/attention.py" in page
    as_json = json.loads(invoke("inspect", base, "--json", "--svg", files["svg"]).stdout)
    assert as_json == json.loads(invoke("inspect", base, "--json").stdout)


def test_inspect_simplified(base: Path, tmp_path: Path) -> None:
    result = invoke("inspect", base, "--simplified", "--svg", tmp_path / "a.svg")
    assert "2 layers of masked self-attention and MLP" in result.stdout
    assert "masked self-attention and MLP" in (tmp_path / "a.svg").read_text("utf-8")
    assert "attention.query" not in result.stdout and "context window  128 tokens" in result.stdout


def test_inspect_refuses_a_file_that_cannot_be_before_it_opens_the_model(base: Path, tmp_path: Path) -> None:
    assert "no folder" in fails("inspect", "no-such-model", "--svg", tmp_path / "no" / "a.svg")
    assert "--open has no file" in fails("inspect", base, "--open")
