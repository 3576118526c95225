"""Thin-Plate Spline Motion Model."""
