"""The Bitrix CMS shop: orders and their payments."""
