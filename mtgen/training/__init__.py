"""A training run from the command line or from Python: samples, the merged model, fitting, the result."""
