"""`python -m benchmarks.prepare --peer-python PATH`: the models of the benchmarks, in every form that a peer reads.

What is there already is left alone. Each recipe runs in a process of its own, with the interpreter that has its tools;
one that cannot run costs its own models only.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.__main__ import default_models
from benchmarks.process import ROOT

RECIPES = {  # in this order, since some read what others made; and whether the peers' interpreter has the tools
    "clearhead": False,
    "llama_cpp": True,
    "openvino": True,
    "encoders": True,
    "ctranslate2": True,
}


def main() -> None:
    """Run the recipes."""
    parser = argparse.ArgumentParser("python -m benchmarks.prepare", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", help=f"only these of: {', '.join(RECIPES)}")
    parser.add_argument("--peer-python", default=sys.executable, help="an interpreter that has the peers")
    parser.add_argument("--models", type=Path, default=default_models(), help="where to (%(default)s)")
    asked = parser.parse_args()
    if unknown := set(asked.recipes) - set(RECIPES):
        parser.error(f"there is no recipe {min(unknown)!r}; choose from {', '.join(RECIPES)}")
    failed = [name for name in asked.recipes or RECIPES if not run(name, asked)]
    sys.exit(f"not everything could be made: {', '.join(failed)}" if failed else 0)


def run(name: str, asked: argparse.Namespace) -> bool:
    """Whether it made, or found, all of its models."""
    python = asked.peer_python if RECIPES[name] else sys.executable
    models = str(asked.models.absolute())
    done = subprocess.run([python, "-m", f"benchmarks.recipes.{name}", models], cwd=ROOT, check=False)
    return done.returncode == 0


if __name__ == "__main__":
    main()
