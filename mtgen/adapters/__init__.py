"""Loaders as what other frameworks train on; each framework is imported in one module here, when asked for."""
