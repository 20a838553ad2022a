"""Bitrix24: deals."""
