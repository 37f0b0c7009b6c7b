"""The command line. Each verb is a module; `app` puts them together, `failures` turns errors into one line each."""


def main() -> None:
    """Run `clearhead` with the arguments of this process, and leave with its exit status."""
    from clearhead.cli.app import run

    run()
