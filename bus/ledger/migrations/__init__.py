"""bus/ledger/migrations"""
