"""bus/ledger"""
