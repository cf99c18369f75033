"""Laws over places in pictures and volumes, windows around them, and windows put together again."""
