"""The command line as `python -m megbench`, for use if the command `megbench` is not on the PATH."""

from megbench.bench import main

if __name__ == "__main__":
    main()
