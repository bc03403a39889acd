"""Networks: ordinary classes, each with a frozen config. They own weights; sampling, lifting and
decoding are functions elsewhere.
"""
