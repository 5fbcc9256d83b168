"""Turnwise answers customers' conversations: one turn at a time, once, through crashes."""
