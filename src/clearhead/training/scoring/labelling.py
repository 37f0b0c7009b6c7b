"""A label for each word of a sentence, as a trained model gives it.

B rows, T ids of a row, C d_model, V labels.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from clearhead.model.transformer import Transformer
from clearhead.training.data.batches import by_tokens
from clearhead.training.objectives.batch import padded
from clearhead.training.objectives.labels import NOWHERE
from clearhead.training.tasks.words import Cutter, Window

OUTSIDE = "O"


def label_words(
    model: Transformer,
    cutter: Cutter,
    labels: Sequence[str],
    sentences: Sequence[Sequence[str]],
    *,
    pad: int,
    max_tokens: int,
) -> list[list[str]]:
    """Each sentence's labels, one for each word; O, or else the first label, for a word that leaves no piece.

    Rows of about one length are read together, at most `max_tokens` ids at a time, padding included.
    """
    unseen = OUTSIDE if OUTSIDE in labels else labels[0]
    given = [[unseen] * len(words) for words in sentences]
    windows = [(i, *window) for i, words in enumerate(sentences) for window in cutter.windows(words)]
    lengths = np.array([[len(ids)] for _, ids, _ in windows], dtype=np.int64).reshape(-1, 1)
    for batch in by_tokens(lengths, max(max_tokens, int(lengths.max(initial=1))), seed=0, epoch=0):
        rows = [windows[i] for i in batch.tolist()]
        best = likeliest(model, [(ids, at) for _, ids, at in rows], pad)
        for (sentence, _, at), row in zip(rows, best.tolist(), strict=True):
            for place, word in enumerate(at):
                if word != NOWHERE:
                    given[sentence][word] = labels[row[place]]
    return given


@torch.no_grad()
def likeliest(model: Transformer, rows: Sequence[Window], pad: int) -> Tensor:
    """[B, T]: the number of the likeliest label at each place."""
    device, training = next(model.parameters()).device, model.training
    ids = padded([np.array(ids) for ids, _ in rows], pad).to(device)
    model.eval()  # or what LoRA reads would lose numbers
    features, table, bias = model.output(model.states(ids, [len(row) for row, _ in rows]))
    model.train(training)
    return F.linear(features, table, bias).argmax(dim=-1).cpu()
