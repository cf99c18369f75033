"""What a sample is made of: settings of each kind of input, and their binding to one table."""
