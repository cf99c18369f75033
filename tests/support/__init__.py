"""What tests share: stores in memory, small datasets whose every field tells its row, comparisons of batches."""
