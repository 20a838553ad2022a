"""Fuzzing: whatever a stranger or a broken program sends is taken whole or refused in words, quickly, in little memory.

`python -m tests.fuzz --minutes 10` runs every target; `--only NAME --input FILE` runs one input again. What once broke
something stands in `known/`, and is tried in each run of the tests.
"""
