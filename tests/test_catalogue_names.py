"""What may name a model, and what may not."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearhead.checkpoints.catalogue.entries import Entry, entries
from clearhead.checkpoints.catalogue.names import HubName, parse
from clearhead.checkpoints.catalogue.store import key_of
from clearhead.errors import UnknownModelError

CATALOGUE = entries()


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", list(CATALOGUE))
def test_a_catalogue_name_is_found_in_any_case(name: str) -> None:
    assert parse(name.upper(), CATALOGUE) is CATALOGUE[name]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("owner/name", HubName(owner="owner", name="name")),
        ("HuggingFaceTB/SmolLM2-135M", HubName(owner="HuggingFaceTB", name="SmolLM2-135M")),
        ("owner/name@main", HubName(owner="owner", name="name", revision="main")),
        ("owner/name@refs/pr/7", HubName(owner="owner", name="name", revision="refs/pr/7")),
        ("owner/name:Q4_K_M", HubName(owner="owner", name="name", file="Q4_K_M")),
        ("owner/name@v1.0:Q8_0", HubName(owner="owner", name="name", revision="v1.0", file="Q8_0")),
        ("owner/name/model.gguf", HubName(owner="owner", name="name", file="model.gguf")),
        ("owner/name/a/b.gguf@main", HubName(owner="owner", name="name", revision="main", file="a/b.gguf")),
    ],
)  # fmt: skip
def test_a_hugging_face_id_is_read_with_its_revision_and_file(text: str, expected: HubName) -> None:
    found = parse(text, CATALOGUE)
    assert found == expected
    assert parse(str(found), CATALOGUE) == expected


REFUSED = [
    "", "  ", "../up", "owner/../name", "owner/..", "../../etc/passwd", "/etc/no-such-file", "//host/share",
    "owner/name/", "/owner/name", "a/b/c", "owner//name", "%2e%2e/name", "owner/%2e%2e", "owner%2fname",
    "owner\\name", "..\\name", "C:\\models\\x", "C:/models/x", "\\\\host\\share", "~nobody-of-this-name/x",
    "~/no/such/file", "owner/~name", "owner/na\u0000me", "smollm2\n135m", "owner/na me", "owner/name@",
    "owner/name:", "owner/name@..", "owner/name@../../x", "owner/name@a/../b", "owner/name@.hidden",
    "owner/name@a//b", "owner/name@-x", "owner/name:../x", "owner/name:a/../../b", "owner/name:/x",
    "owner/name/x.gguf:Q4", "owner/name/../x.gguf", "con/name", "owner/nul", "owner/COM1", "owner/lpt9.txt",
    "owner/aux.gguf", "owner/name@prn", "owner/name:con", "CON", "nul.gguf", "owner/name.git", "owner/a--b",
    "-owner/name", "owner/-name", "owner/name-", "owner/name.", "owner/.name", "ównér/name", "owner/名前",
    "owner/name?x=1", "owner/name#x", "owner/name;x", "owner/$(x)", "http://host/owner/name", "file:///etc/passwd",
    "owner/" + "n" * 97, "o" * 97 + "/name", "n" * 5000, "owner/name@" + "r" * 5000, "\u202egguf/name",
    "owner/\u200bname", "missing.gguf", "folder/missing.gguf", "./missing", "missing.safetensors",
]  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_name_is_refused_in_one_printable_line(text: str) -> None:
    with pytest.raises(UnknownModelError) as caught:
        parse(text, CATALOGUE)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 700
    assert caught.value.exit_status == 2


@given(st.text(st.sampled_from("ab/.@:-_%~\\\0 \ncon1gguf"), max_size=30) | st.text(max_size=30))
def test_whatever_is_accepted_makes_one_harmless_folder_name(text: str) -> None:
    try:
        found = parse(text, CATALOGUE)
    except UnknownModelError as error:
        assert str(error).isprintable()
        return
    if isinstance(found, Path):
        assert found.expanduser().exists()
    else:
        key = key_of(found)
        assert key == Path(key).name and key not in (".", "..") and key.isascii() and len(key) < 230


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("smollm2-135m-instrct", "smollm2-135m-instruct"),
        ("SmolLM2", "smollm2-135m-instruct"),
        ("minilm", "minilm-l6-v2"),
        ("qwen2.5-coder", "qwen2.5-coder-1.5b-instruct"),
        ("opus-mt-zh-de", "opus-mt-zh-en"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_near_ones_and_how_to_list_all(text: str, meant: str) -> None:
    with pytest.raises(UnknownModelError, match=rf"did you mean .*{meant}.*`clearhead models`"):
        parse(text, CATALOGUE)


def test_a_name_like_none_is_given_no_false_hint() -> None:
    with pytest.raises(UnknownModelError) as caught:
        parse("zzzzzz", CATALOGUE)
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["./model", "missing.gguf", "models/missing.gguf", "/no/such/model", "~/no-such-model-here"]
)
def test_a_path_that_is_not_there_is_called_a_path(text: str) -> None:
    with pytest.raises(UnknownModelError, match="there is no file or folder"):
        parse(text, CATALOGUE)


def test_what_exists_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    (tmp_path / "odd name, no model.gguf").touch()
    assert parse("owner/name", CATALOGUE) == Path("owner/name")
    assert parse("odd name, no model.gguf", CATALOGUE) == Path("odd name, no model.gguf")
    assert parse(tmp_path, CATALOGUE) == tmp_path


def test_a_folder_called_like_a_catalogue_name_needs_a_dot_and_slash(tmp_path: Path) -> None:
    (tmp_path / "minilm-l6-v2").mkdir()
    assert isinstance(parse("minilm-l6-v2", CATALOGUE), Entry)
    assert parse("./minilm-l6-v2", CATALOGUE) == Path("minilm-l6-v2")
    assert parse(Path("minilm-l6-v2"), CATALOGUE) == Path("minilm-l6-v2")


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "model").mkdir()
    assert parse("~/model", CATALOGUE) == tmp_path / "model"


def test_a_path_of_several_folders_is_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownModelError, match="there is no file or folder 'runs/mine/model'"):
        parse("runs/mine/model", {})
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "recipe.yaml").touch()
    with pytest.raises(
        UnknownModelError, match="runs/mine is a run without a model yet; clearhead train runs/mine --resume"
    ):
        parse("runs/mine/model", {})
