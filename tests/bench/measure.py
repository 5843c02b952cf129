#!/usr/bin/env python3
"""Runs a command and says in one line of JSON what it used:  measure.py OUT COMMAND ARG...

Standard output goes to the file OUT; standard error stays. cpu is user+sys in seconds, rss_kib the peak.
"""
import json
import os
import sys

out, argv = sys.argv[1], sys.argv[2:]
flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
pid = os.posix_spawnp(argv[0], argv, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, out, flags, 0o644)])
_, status, used = os.wait4(pid, 0)
print(json.dumps({
    "status": os.waitstatus_to_exitcode(status),
    "cpu": round(used.ru_utime + used.ru_stime, 4),
    "rss_kib": used.ru_maxrss,
}))
