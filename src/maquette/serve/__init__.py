"""The job API on Ray Serve (extra ``serve``): the same addresses as ``maquette app``, from any
number of processes and machines that share a database and a folder.
"""
