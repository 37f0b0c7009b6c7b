"""The tokenizer that a GGUF file's metadata describes (github.com/ggml-org/ggml, docs/gguf.md, "Tokenizer").

A GGUF carries no program, only lists: tokens, scores, types and merges, and the name of the algorithm that reads them.
"""

from collections.abc import Callable, Mapping
from typing import Any

from clearhead.config import SpecialTokens
from clearhead.errors import TokenizerError
from clearhead.text.gguf_pieces import Pieces, flag, read_pieces, special_id
from clearhead.text.pipelines import byte_level_bpe, word_piece
from clearhead.text.piece_model import PieceType, write_model
from clearhead.text.pretokenizers import recipe
from clearhead.text.spm import Frame, SentencePieceTokenizer
from clearhead.text.tokenizer import Tokenizer
