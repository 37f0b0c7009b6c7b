"""Calls to `huggingface_hub`: its errors in one line, its words kept off the terminal, its progress in bytes."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from clearhead.checkpoints.catalogue.progress import Progress
from clearhead.errors import DownloadError, UnknownModelError


@contextmanager
def asking_the_hub(repo: str, revision: str | None) -> Iterator[None]:
    """Turn whatever the library raises into our errors, and keep its warnings off the terminal meanwhile.

    Raises:
        UnknownModelError: no such repository or revision.
        DownloadError: the Hub refused, failed or could not be reached.
        OSError: the disk failed.
    """
    from huggingface_hub import errors

    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    except errors.GatedRepoError:
        raise DownloadError(f"{repo} is gated: accept its terms on its page on the Hub, then set HF_TOKEN") from None
    except errors.RepositoryNotFoundError:
        raise UnknownModelError(
            f"the Hugging Face Hub knows no model {repo}, or keeps it private; check its spelling, or set HF_TOKEN"
        ) from None
    except errors.RevisionNotFoundError:
        raise UnknownModelError(f"{repo} has no branch, tag or commit {revision} on the Hub") from None
    except errors.HfHubHTTPError as error:
        told = {401: "; HF_TOKEN is not valid", 403: "; HF_TOKEN does not allow it"}.get(error.response.status_code, "")
        raise DownloadError(f"the Hub answered {error.response.status_code} for {repo}{told}") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise DownloadError(f"the Hub failed to deliver {repo} ({first_line(error)})") from None
    except Exception as error:  # those of the HTTP library underneath, which differs between versions
        raise DownloadError(
            f"the Hugging Face Hub cannot be reached ({first_line(error)}); check the network and HF_ENDPOINT"
        ) from None
    finally:
        logger.setLevel(level)


def bar_of(size: int, progress: Progress) -> tuple[Any, Callable[[], int]]:
    """A `tqdm` class that draws nothing and reports one file's bytes, and how many it has reported so far.

    The library may show two bars for a file, bytes received and bytes written; what the faster one says counts.
    """
    from tqdm import tqdm  # type: ignore[import-untyped]

    told = 0

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **settings: Any) -> None:
            super().__init__(*args, **{**settings, "disable": True})

        def update(self, n: float | None = 1) -> None:
            nonlocal told
            self.n += int(n or 0)
            if told < (reached := min(self.n, size)):
                progress.advance(reached - told)
                told = reached

    return Bar, lambda: told


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return (str(error) or type(error).__name__).splitlines()[0]
