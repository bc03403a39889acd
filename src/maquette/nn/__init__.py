"""Building blocks of networks: one attention primitive, transformer and convolution blocks,
embeddings. They own weights only.
"""
