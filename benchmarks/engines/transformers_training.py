"""transformers' models under its own Trainer."""

import tempfile
from typing import Any

import torch
import transformers
from torch.utils.data import Dataset

from benchmarks import engine
from benchmarks.engine import timed
from benchmarks.engines.training_shapes import SHAPES, Shape


class Rows(Dataset[dict[str, torch.Tensor]]):
    """Rows of random ids, one by one, as the Trainer wants them."""

    def __init__(self, shape: Shape, steps: int) -> None:
        self.shape, self.steps = shape, steps

    def __len__(self) -> int:
        return self.shape.rows * self.steps

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        source, text = self.shape.batch(index // self.shape.rows)
        row = torch.from_numpy(text[index % self.shape.rows])
        if source is None:
            return {"input_ids": row[:-1], "labels": row[:-1]}  # the model shifts labels itself
        read = torch.from_numpy(source[index % self.shape.rows])
        return {"input_ids": read, "decoder_input_ids": row[:-1], "labels": row[1:]}


class Engine(engine.Engine):
    """`model` is the name of a shape."""

    package = "transformers"

    def __init__(self, model: str, threads: int, precision: str = "float32") -> None:
        super().__init__(model, threads)
        torch.set_num_threads(threads)
        transformers.set_seed(1)
        self.shape, self.precision = SHAPES[model], precision
        self.native = marian(self.shape) if self.shape.source else gpt2(self.shape)

    def facts(self) -> dict[str, Any]:
        """With the size of the model."""
        known = super().facts()
        size = sum(p.numel() for p in self.native.parameters() if p.requires_grad)
        return known | {"version": f"{known['version']}, torch {torch.__version__}", "parameters": size}

    def learn(self, steps: int) -> float:
        """Tokens of the text that is said, per second."""
        with tempfile.TemporaryDirectory() as folder:
            settings = transformers.TrainingArguments(
                folder,
                max_steps=steps,
                per_device_train_batch_size=self.shape.rows,
                use_cpu=True,
                bf16=self.precision == "bfloat16",
                label_smoothing_factor=self.shape.smoothing,
                learning_rate=self.shape.lr,
                max_grad_norm=1.0,
                save_strategy="no",
                logging_strategy="no",
                report_to=[],
                disable_tqdm=True,
            )
            trainer = transformers.Trainer(self.native, settings, train_dataset=Rows(self.shape, steps))
            return steps * self.shape.rows * self.shape.tokens / timed(trainer.train)


def gpt2(s: Shape) -> Any:
    """A decoder."""
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=s.vocab_size,
            n_positions=s.tokens,
            n_embd=s.d_model,
            n_inner=s.d_ff,
            n_layer=s.n_layers,
            n_head=s.n_heads,
            resid_pdrop=s.dropout,
            embd_pdrop=s.dropout,
            attn_pdrop=s.dropout,
        )
    )


def marian(s: Shape) -> Any:
    """An encoder and a decoder."""
    return transformers.MarianMTModel(
        transformers.MarianConfig(
            vocab_size=s.vocab_size,
            d_model=s.d_model,
            encoder_layers=s.n_layers,
            decoder_layers=s.n_layers,
            encoder_attention_heads=s.n_heads,
            decoder_attention_heads=s.n_heads,
            encoder_ffn_dim=s.d_ff,
            decoder_ffn_dim=s.d_ff,
            activation_function="relu",
            dropout=s.dropout,
            attention_dropout=0.0,
            activation_dropout=0.0,
            scale_embedding=True,
            pad_token_id=0,
            decoder_start_token_id=0,
            eos_token_id=1,
        )
    )
