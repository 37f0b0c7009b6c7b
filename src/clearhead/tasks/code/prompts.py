"""What a model is told: the request, the tests that it must pass, and, once more, what failed."""

from clearhead.engine.prompt import Message
from clearhead.tasks.code.languages import Language

LONGEST = 2000  # characters of a failure that are told


def request_message(request: str, language: Language, tests: str | None) -> Message:
    """The first turn."""
    parts = [
        f"Solve this task in {language.title}. Answer with the complete code in one Markdown code block, without tests "
        f"and without examples of its use.\n\n{request.strip()}"
    ]
    if tests is not None:
        parts.append(f"The code must pass these tests:\n\n{fenced(tests, language)}")
    return {"role": "user", "content": "\n\n".join(parts)}


def failure_message(why: str, details: str, language: Language) -> Message:
    """The turn after a failure: what happened, and what is wanted."""
    told = f"That code failed its tests: {why}."
    if details.strip():
        told += f"\n\n{fenced(shortened(details.strip()), Language('', ''))}"
    content = (
        f"{told}\n\nFind the mistake, and answer with the complete corrected code in one {language.title} code block."
    )
    return {"role": "user", "content": content}


def fenced(text: str, language: Language) -> str:
    """A text between fences that nothing in it can close."""
    mark = "```"
    while mark in text:
        mark += "`"
    return f"{mark}{language.name}\n{text.strip(chr(10))}\n{mark}"


def shortened(text: str) -> str:
    """The end of a long text, which is where an error says what it is; that it was cut is told."""
    return text if len(text) <= LONGEST else f"[{len(text) - LONGEST} characters left out]\n{text[-LONGEST:]}"
