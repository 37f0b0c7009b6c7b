"""`clearhead classify`: which of some labels fits a text."""

import time
from typing import Annotated

import typer

from clearhead.cli import arguments as a
from clearhead.cli.on_machine import on_machine
from clearhead.engine.machine import Machine

Text = Annotated[str | None, a.text("The text to label")]
Labels = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,...",
        help="The labels to choose from, with commas between; a model that has labels of its own needs none.",
        show_default=False,
        rich_help_panel=a.CONTEXT,
    ),
]
About = Annotated[
    str, typer.Option(metavar="QUESTION", help="What the labels are an answer to.", rich_help_panel=a.CONTEXT)
]
Model = Annotated[
    str | None,
    a.model(
        "An instruction model, or one that labels texts. Without it qwen2.5-coder-1.5b-instruct where it has been "
        "pulled, else the small default."
    ),
]


@on_machine
def classify(
    text: Text = None,
    labels: Labels = None,
    about: About = "What is this text about?",
    file: a.File = None,
    lines: a.Lines = False,
    model: Model = None,
    quiet: a.Quiet = False,
    json: a.Json = False,
    *,
    machine: Machine,
) -> None:
    """Say which label fits a text, without training.

    Each label is judged by how likely the model finds it as the answer, less how likely it is without the text. The
    probabilities are shares among the labels given.

    Example: clearhead classify "The match ended 2:1." --labels sport,politics
    """
    from clearhead.cli.json_output import print_result
    from clearhead.cli.opening import load_model
    from clearhead.cli.quantities import plural
    from clearhead.cli.screen import Writer, note, show_lines
    from clearhead.cli.sources import read_texts
    from clearhead.errors import OptionError
    from clearhead.tasks.choice import advice, instruction_model_name
    from clearhead.tasks.classify import check_labels, open_classifier

    names = None if labels is None else check_labels([name for name in labels.split(",") if name.strip()])
    if names is None and model is None:
        raise OptionError("there are no labels to choose from; give some, such as --labels sport,politics")
    texts = read_texts(text, file, "text", lines=lines)
    model = instruction_model_name() if model is None else model
    loaded = load_model(model, machine)
    classifier = open_classifier(names, model=loaded, about=about)
    begun = time.perf_counter()
    for one in texts:
        found = classifier.of(one.text)
        if json:
            print_result({"model": loaded.name, "text": one.text, "labels": found}, one.line)
        elif lines:
            Writer().write(f"{found[0].name}\t{found[0].probability:.4f}\n")
        else:
            show_lines([f"{label.probability:6.1%}  {label.name}" for label in found])
    if not quiet:
        note(f"{loaded.name} · {plural(len(texts), 'text')} · {time.perf_counter() - begun:.2f} s")
    if not quiet and classifier.prior and (said := advice(loaded, "choosing labels")) is not None:
        note(said)
