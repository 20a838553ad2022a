"""Files that people bring: counterparties and payments as CSV or XLSX, one way into the bus."""
