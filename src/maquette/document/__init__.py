"""A scene as a file: its JSON and the files beside it, read, written and edited."""
