"""Pictures of what a model is fed."""
