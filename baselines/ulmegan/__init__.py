"""ULME-GAN."""
