"""Model-based histories: random days of people, faults and deaths, then ten sentences that must be true of them."""
