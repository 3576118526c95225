"""Faults done to real runs, and what became of them: `make torture` writes docs/reliability.md."""
