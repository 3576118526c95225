"""Faults inflicted on real runs, and their consequences: `make torture` writes docs/reliability.md."""
