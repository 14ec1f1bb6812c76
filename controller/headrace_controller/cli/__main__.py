"""``python -m headrace_controller.cli``: the same as ``headrace``."""

from headrace_controller.cli.entrypoint import main

if __name__ == "__main__":
    main()
