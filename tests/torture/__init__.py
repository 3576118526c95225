"""Inject faults into real runs and record their consequences: `make torture` writes docs/reliability.md."""
