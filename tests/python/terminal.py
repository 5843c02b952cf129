"""terminal.py COLUMNS COMMAND...: runs a command with a terminal as its standard output and prints what it writes."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

columns, command = int(sys.argv[1]), sys.argv[2:]
ours, theirs = pty.openpty()
fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
settings = termios.tcgetattr(theirs)
settings[1] &= ~termios.OPOST  # line ends stay as they are written
termios.tcsetattr(theirs, termios.TCSANOW, settings)
child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs)
os.close(theirs)
while True:
    try:
        data = os.read(ours, 65536)
    except OSError:  # Linux says so that the other side is closed
        break
    if not data:
        break
    sys.stdout.buffer.write(data)
sys.stdout.buffer.flush()
sys.exit(child.wait())
