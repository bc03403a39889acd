"""Addresses: each takes a request apart, calls one function of the app, and says what the answer
is.
"""
