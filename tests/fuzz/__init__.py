"""Fuzz targets: damaged input of every kind; `make fuzz` runs them long."""
