"""Binance USD-M futures behind the `Exchange` facts: the real venue, spoken to through ccxt."""
