"""The ledger: plain SQL next to the functions that use it."""
