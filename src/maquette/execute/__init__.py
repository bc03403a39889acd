"""Who does the work: pure tasks in this process, in processes of this machine, or on a cluster.

In the flow: commands -> tasks -> pool, which chooses between ``processes`` and ``cluster``;
``share`` cuts the work of a command for machines that know nothing of each other.
"""
