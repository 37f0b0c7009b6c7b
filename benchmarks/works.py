"""The contests: what Clearhead claims about its speed, each beside the peers that could refute it.

Files below the cache folder are made by `benchmarks.prepare`. Peers compute with the same weights, in their own form of
the same precision.
"""

from collections.abc import Iterator
from typing import Any

from benchmarks.contest import Contest, Cost, Entry, Held

SMOL = "smollm2-135m-instruct"
BATCHES = (8, 32)
QUESTION = "Which is the capital of Bulgaria?"
SENTENCE = (504, 2388, 13685, 281, 260, 6251, 284, 5208, 281, 260, 5846, 30, 378, 1876, 12064, 282, 260, 713, 359)
LARGE = "random:smollm2-1.7b"


def clearhead(dtype: str = "auto", model: str = SMOL, **asked: Any) -> Entry:
    """Ours."""
    return Entry(label=f"Clearhead {dtype}", engine="clearhead", model=model, settings={"dtype": dtype}, asked=asked)


def llama_cpp(kind: str) -> Entry:
    """A GGUF type."""
    return Entry(label=f"llama.cpp {kind}", engine="llama_cpp", model=f"smollm2/{kind}.gguf")


def openvino(kind: str) -> Entry:
    """Weights compressed by NNCF."""
    return Entry(label=f"OpenVINO {kind}", engine="openvino", model=f"smollm2/openvino-{kind}/openvino_model.xml")


def ctranslate2(dtype: str) -> Entry:
    """A generator."""
    settings = {"dtype": dtype, "kind": "Generator"}
    return Entry(label=f"CTranslate2 {dtype}", engine="ctranslate2", model="smollm2/ctranslate2", settings=settings)


def transformers(dtype: str) -> Entry:
    """The plain model."""
    return Entry(label=f"transformers {dtype}", engine="transformers", model="smollm2/hf", settings={"dtype": dtype})


PRECISIONS = {  # of a decoder: ours first
    "the file as shipped": (clearhead("auto"), llama_cpp("Q4_1")),
    "4 bits": (clearhead("int4"), llama_cpp("Q4_0"), openvino("int4")),
    "8 bits": (clearhead("int8"), llama_cpp("Q8_0"), openvino("int8"), ctranslate2("int8")),
    "bfloat16": (clearhead("bfloat16"), llama_cpp("BF16"), transformers("bfloat16")),
}


def decode() -> Iterator[Contest]:
    """One row, step by step."""
    for name, entries in PRECISIONS.items():
        yield Contest(
            work="decode",
            title=f"Decoding SmolLM2-135M, batch 1, {name}",
            unit="tokens/s",
            ask={"ask": "decode", "batch": 1, "prompt": 64, "new": 64},
            entries=entries,
            costs=(Cost(fact="weight_bytes"),),
            same={"ask": "greedy", "prompt": list(SENTENCE), "new": 16},
        )


def prefill() -> Iterator[Contest]:
    """A prompt."""
    for name, entries in PRECISIONS.items():
        yield Contest(
            work="prefill",
            title=f"Reading a prompt of 512 tokens, SmolLM2-135M, {name}",
            unit="tokens/s",
            ask={"ask": "prefill", "tokens": 512},
            entries=entries,
            costs=(Cost(fact="layer_parameters"),),
        )


def batch() -> Iterator[Contest]:
    """Several rows, step by step."""
    for rows in BATCHES:
        for name in ("4 bits", "8 bits"):
            yield Contest(
                work="batch",
                title=f"Decoding SmolLM2-135M, batch {rows}, {name}",
                unit="tokens/s",
                ask={"ask": "decode", "batch": rows, "prompt": 32, "new": 24},
                entries=PRECISIONS[name],
                costs=(Cost(fact="weight_bytes", times=1 / rows), Cost(fact="step_parameters")),
            )


def long() -> Iterator[Contest]:
    """A prompt of 4,096 tokens, and the steps after it; without engines whose steps are the difference of two texts."""
    warm = {"ask": "decode", "batch": 1, "prompt": 64, "new": 8}
    for name in ("4 bits", "8 bits"):
        yield Contest(
            work="long",
            title=f"Reading a prompt of 4,096 tokens, SmolLM2-135M, {name}",
            unit="tokens/s",
            ask={"ask": "prefill", "tokens": 4096},
            entries=PRECISIONS[name],
            costs=(Cost(fact="layer_parameters"),),
            warm=warm,
        )
        yield Contest(
            work="long",
            title=f"Decoding after 4,096 tokens, SmolLM2-135M, {name}",
            unit="tokens/s",
            ask={"ask": "decode", "batch": 1, "prompt": 4096, "new": 32},
            entries=tuple(entry for entry in PRECISIONS[name] if entry.engine != "ctranslate2"),
            warm=warm,
        )


def encoders() -> Iterator[Contest]:
    """32 texts of 128 tokens."""
    for title, folder, ours in (
        ("MiniLM-L6", "minilm", "minilm-l6-v2"),
        ("BERT-base, random weights", "bert-base", "bert-base/hf"),
    ):
        for dtype, peers in encoder_peers(folder).items():
            yield Contest(
                work="encoders",
                title=f"{title}, 32 texts of 128 tokens, {dtype}",
                unit="texts/s",
                ask={"ask": "encode", "batch": 32, "tokens": 128},
                entries=(clearhead(dtype, ours), *peers),
                costs=(Cost(fact="layer_parameters", times=128),),
                same={"ask": "state", "tokens": list(SENTENCE)},
            )


def encoder_peers(folder: str) -> dict[str, tuple[Entry, ...]]:
    """By precision; OpenVINO's own choice for its 8-bit model is to compute the rest in bfloat16 where it can."""

    def entry(label: str, engine: str, file: str, **settings: Any) -> Entry:
        return Entry(label=label, engine=engine, model=f"{folder}/{file}", settings=settings)

    return {
        "float32": (
            entry("ONNX Runtime float32", "onnxruntime", "float32.onnx"),
            entry("OpenVINO float32", "openvino", "float32.xml", precision="f32"),
            entry("CTranslate2 float32", "ctranslate2", "ctranslate2", dtype="float32", kind="Encoder"),
        ),
        "bfloat16": (
            entry("OpenVINO bfloat16", "openvino", "float32.xml", precision="bf16"),
            entry("transformers bfloat16", "transformers", "hf", dtype="bfloat16", kind="BertModel"),
        ),
        "int8": (
            entry("ONNX Runtime int8", "onnxruntime", "int8.onnx"),
            entry("OpenVINO int8", "openvino", "int8.xml"),
            entry("CTranslate2 int8", "ctranslate2", "ctranslate2", dtype="int8", kind="Encoder"),
        ),
    }


def translation() -> Iterator[Contest]:
    """The Transformer of 2017."""
    shapes = (
        ("OPUS-MT zh-en, 16 sentences", "opus-mt/model.argosmodel", "opus-mt/ctranslate2", 0),
        (
            "The base shape of 2017, 16 x 25 to 30 tokens",
            "base-2017/ctranslate2",
            "base-2017/ctranslate2",
            30,
        ),
    )
    for title, ours, theirs, new in shapes:
        for beams in (1, 4):
            for dtype in ("int8", "float32"):
                settings = {"dtype": dtype, "kind": "Translator"}
                peer = Entry(label=f"CTranslate2 {dtype}", engine="ctranslate2", model=theirs, settings=settings)
                yield Contest(
                    work="translation",
                    title=f"{title}, {'greedy' if beams == 1 else f'{beams} beams'}, {dtype}",
                    unit="tokens/s",
                    ask={"ask": "translate", "beams": beams, "new": new},
                    entries=(clearhead(dtype, ours), peer),
                    same={"ask": "translation", "beams": beams, "new": new},
                )


def cold() -> Iterator[Contest]:
    """From nothing to the first word."""
    ours = Entry(label="Clearhead auto", engine="clearhead_start", model=SMOL)
    peer = Entry(label="llama.cpp Q4_1, Python", engine="llama_cpp:Binding", model="smollm2/Q4_1.gguf")
    yield Contest(
        work="cold",
        title="From the start of a process to the first piece of an answer, SmolLM2-135M as shipped, packed before",
        unit="s",
        ask={"prompt": QUESTION},
        entries=(ours, peer),
        cold=True,
    )


def memory() -> Iterator[Contest]:
    """The most a process held."""
    for name, entries in PRECISIONS.items():
        yield Contest(
            work="memory",
            title=f"Peak memory of a process, SmolLM2-135M, 128 positions, {name}",
            unit="MB",
            ask={"ask": "peak"},
            entries=entries,
            costs=(Held(positions=128),),
        )


def capture() -> Iterator[Contest]:
    """Looking while decoding."""
    yield Contest(
        work="capture",
        title="Decoding SmolLM2-135M as shipped, attention weights of all layers and heads captured",
        unit="tokens/s",
        ask={"ask": "captured", "prompt": 64, "new": 256},
        entries=(
            Entry(label="captured", engine="clearhead", model=SMOL),
            Entry(label="not captured", engine="clearhead", model=SMOL, asked={"ask": "decode"}),
        ),
    )


def bandwidth() -> Iterator[Contest]:
    """A model that no cache holds."""
    for dtype in ("int4", "int8", "bfloat16"):
        yield Contest(
            work="bandwidth",
            title=f"Decoding 1.7 billion random weights, batch 1, {dtype}",
            unit="tokens/s",
            ask={"ask": "decode", "batch": 1, "prompt": 16, "new": 16},
            entries=(clearhead(dtype, LARGE),),
            costs=(Cost(fact="weight_bytes"),),
        )


def sampling() -> Iterator[Contest]:
    """What choosing tokens takes from a step."""
    yield Contest(
        work="sampling",
        title="Share of a step, batch 32, top-p 0.95 of 49,152 tokens, SmolLM2-135M as shipped",
        unit="%",
        ask={"ask": "sampling", "batch": 32, "new": 16},
        entries=(
            Entry(label="choosing tokens", engine="clearhead", model=SMOL),
            Entry(label="all outside the executor", engine="clearhead", model=SMOL, asked={"choosing": False}),
        ),
    )


def training() -> Iterator[Contest]:
    """Steps of learning, dropout and all."""
    names = {
        "gpt": "Training a GPT of 10.7 M parameters, 8 x 256 letters",
        "gpt-laptop": "Training nanoGPT's model for a laptop, 12 x 64 letters",
        "translation": "Training a translator of 2.6 M parameters, 256 x (14 -> 15) tokens",
    }
    engines = {
        "Clearhead": "clearhead_training",
        "plain PyTorch": "plain_torch",
        "transformers": "transformers_training",
    }
    for model, title in names.items():
        for precision in ("float32", "bfloat16"):
            yield Contest(
                work="training",
                title=f"{title}, {precision}",
                unit="tokens/s",
                ask={"ask": "learn", "steps": 40 if model == "gpt-laptop" else 6},
                warm={"ask": "learn", "steps": 3},
                entries=tuple(
                    Entry(label=f"{label} {precision}", engine=engine, model=model, settings={"precision": precision})
                    for label, engine in engines.items()
                ),
            )


CONTESTS = (
    decode,
    prefill,
    batch,
    long,
    encoders,
    translation,
    cold,
    memory,
    capture,
    bandwidth,
    sampling,
    training,
)
WORKS = {work.__name__: work for work in CONTESTS}
