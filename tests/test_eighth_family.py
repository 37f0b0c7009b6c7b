"""A family whose choices exist already is one page of at most 70 lines, and nothing else changes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import transformers as tf

from clearhead import families
from clearhead.errors import ConfigError
from oracles import Oracle, redraw
from test_parity import difference

PAGES = Path(__file__).parent / "pages"


@pytest.fixture
def mistral_page(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The scratch page, put where the registry looks."""
    monkeypatch.setattr(families, "__path__", [*families.__path__, str(PAGES)])
    families.families.cache_clear()
    yield
    families.families.cache_clear()


def test_one_short_page_adds_a_family(mistral_page: None, tmp_path: Path) -> None:
    sizes = {"vocab_size": 40, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "head_dim": 8}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "sliding_window": None}
    config = tf.MistralConfig(**sizes, **heads, max_position_embeddings=64, bos_token_id=0, eos_token_id=0)
    theirs = Oracle("mistral", redraw(tf.MistralForCausalLM(config), 3), 2e-5)
    row = [3, 17, 5, 9, 30, 2, 8]
    [ours] = theirs.load(tmp_path / "model").decode([row], want="all")
    assert difference(ours, theirs.logits(row)) <= theirs.dtype_limit
    assert len((PAGES / "mistral.py").read_text().splitlines()) <= 70


def test_without_its_page_the_type_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'mistral'.*llama"):
        families.find("hf", "mistral")
