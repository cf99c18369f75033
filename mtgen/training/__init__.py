"""Models and training runs to start from."""
