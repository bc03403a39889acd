"""The app: a page and a job API around the library, on this machine. Thin: reading, editing,
generating and exporting are elsewhere.
"""
