"""The dictionary: how each system says what the bus means, and who wins each field."""
