"""Where batches run: in a process of their own, or in a thread of this one."""
