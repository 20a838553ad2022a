"""Adapters: the APIs of the systems we keep in step; transport, paging, limits, errors, and no canonical field."""
