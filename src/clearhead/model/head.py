"""Hidden states to logits.

B batch, T tokens, C d_model, V vocab_size (or the number of labels).
"""

from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.config import ModelConfig
from clearhead.model.layers import ACTIVATIONS, build_norm

Parts = tuple[Tensor, Tensor, Tensor | None]  # logits in three: features [..., C], a table [V, C] and a bias [V]


class LanguageModelHead(nn.Module):
    """A score for every token of the vocabulary, against the token embedding itself where the two are tied
    (Press and Wolf 2016, 1608.05859)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.scale = config.logit_scale
        self.projection = Projection(config)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """[B, T, C] -> [B, T, V]."""
        return self.projection(self.features(x), embedding)

    def parts(self, x: Tensor, embedding: Tensor) -> Parts:
        """The logits of x [B, T, C] before they are multiplied out."""
        return self.features(x), self.projection.table(embedding), self.projection.bias

    def features(self, x: Tensor) -> Tensor:
        """[B, T, C] -> [B, T, C]: what the vocabulary's vectors are multiplied with."""
        return x if self.scale == 1 else x * self.scale


class MaskedLanguageModelHead(LanguageModelHead):
    """The same after one more dense layer: Devlin et al. 2018, appendix A, as released."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.activation = ACTIVATIONS[config.activation]
        self.transform = nn.Linear(config.d_model, config.d_model)
        self.norm = build_norm(config)

    def features(self, x: Tensor) -> Tensor:
        """[B, T, C] -> [B, T, C]."""
        return super().features(self.norm(self.activation(self.transform(x))))


class LabelHead(nn.Module):
    """A score for every label, of each token or of the pooled text."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.projection = nn.Linear(config.d_model, len(config.labels))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """[B, T, C] -> [B, T, labels]."""
        return self.projection(x)

    def parts(self, x: Tensor, embedding: Tensor) -> Parts:
        """As a language model's."""
        return x, self.projection.weight, self.projection.bias


class Projection(nn.Module):
    """x W^T + b, with W of its own only where it is not the token embedding."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        shape = config.vocab_size, config.d_model
        self.weight = None if config.tied else nn.Parameter(nn.Embedding(*shape).weight)
        self.bias = nn.Parameter(nn.Embedding(config.vocab_size, 1).weight[:, 0]) if config.head_bias else None

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """[B, T, C] and the token embedding [V, C] -> [B, T, V]."""
        return F.linear(x, self.table(embedding), self.bias)

    def table(self, embedding: Tensor) -> Tensor:
        """[V, C]: a vector for each output."""
        return embedding if self.weight is None else self.weight


HEADS: dict[str, type[LanguageModelHead | LabelHead]] = {
    "lm": LanguageModelHead,
    "mlm": MaskedLanguageModelHead,
    "token_labels": LabelHead,
    "sequence_labels": LabelHead,
}
