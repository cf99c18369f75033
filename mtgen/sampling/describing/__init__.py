"""What a sampler draws, as numbers and as a table for the terminal, before anything is read or trained."""
