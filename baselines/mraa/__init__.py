"""Motion Representations for Articulated Animation."""
