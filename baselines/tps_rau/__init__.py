"""TPS with relative action units."""
