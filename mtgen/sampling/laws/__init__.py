"""Laws over numbers: normal, uniform, gamma, poisson ...; each point a function of its own position only.

Parameters have the names that the methods of `numpy.random.Generator` have.
"""
