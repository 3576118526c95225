"""First Order Motion Model."""
