"""Holds one thread of a process still, while its others go on, until this program ends.

usage: freeze.py PROCESS THREAD
THREAD is what the thread calls itself. Says `frozen` on standard error when it is.
"""

import ctypes
import os
import signal
import sys

SEIZE, INTERRUPT = 0x4206, 0x4207
ALL_THREADS = 0x40000000

process, wanted = sys.argv[1:]
tasks = f"/proc/{process}/task"
named = [t for t in os.listdir(tasks) if open(f"{tasks}/{t}/comm").read().strip() == wanted]
if len(named) != 1:
    sys.exit(f"{len(named)} threads of {process} are called {wanted}")
thread = int(named[0])
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
for request in (SEIZE, INTERRUPT):
    if libc.ptrace(request, thread, None, None) != 0:
        sys.exit(f"ptrace: {os.strerror(ctypes.get_errno())}")
os.waitpid(thread, ALL_THREADS)
print("frozen", file=sys.stderr, flush=True)
# Whoever is traced goes on when its tracer ends.
signal.pause()
