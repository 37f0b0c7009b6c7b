"""The bundled entity models: a folder here for each, an adapter over a model of the catalogue.

    entities-en/adapter_model.safetensors, adapter_config.json, labels.json    what LoRA learnt, as peft writes it
    entities-en/entities.json                                                  licence, data, scores

`python -m clearhead.tasks.entities.bundle` writes them.
"""

from pathlib import Path

HERE = Path(__file__).parent
CARD = "entities.json"
