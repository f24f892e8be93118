"""The sandbox's memory: wallets and ledger, changed by events and kept in a journal."""
