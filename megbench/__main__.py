"""`python -m megbench`: the command line, for where the command `megbench` is not on the path."""

from megbench.bench import main

if __name__ == "__main__":
    main()
