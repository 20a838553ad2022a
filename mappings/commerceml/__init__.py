"""CommerceML: what a 1C exchanges with a site, and the canonical records."""
