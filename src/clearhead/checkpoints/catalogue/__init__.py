"""Models by name: the catalogue of those known, and the cache of those fetched.

from clearhead.checkpoints.catalogue import list_models, pull, remove, resolve

path = resolve("smollm2-135m-instruct")  # a file or folder on this machine, fetched and checked on first use
"""

from clearhead.checkpoints.catalogue.disk import NoSpaceError
from clearhead.checkpoints.catalogue.entries import DEFAULT_MODEL, Entry
from clearhead.checkpoints.catalogue.library import FileCheck, pull, remove, resolve, verify_files
from clearhead.checkpoints.catalogue.listing import ModelStatus, list_models
from clearhead.checkpoints.catalogue.progress import Progress
from clearhead.checkpoints.catalogue.store import cache_root

__all__ = [
    "DEFAULT_MODEL",
    "Entry",
    "FileCheck",
    "ModelStatus",
    "NoSpaceError",
    "Progress",
    "cache_root",
    "list_models",
    "pull",
    "remove",
    "resolve",
    "verify_files",
]
