"""The commands of mtgen."""
