"""Run a command and kill it when standard input ends.

A server started through this script dies with the process that holds the other
end of the pipe, even when that one is killed: the kernel closes the pipe.
Run as a script, with nothing but the standard library.
"""

import os
import subprocess
import sys
import threading


def main() -> int:
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)

    def watch() -> None:
        os.read(0, 1)
        child.kill()

    threading.Thread(target=watch, daemon=True).start()
    return child.wait()


if __name__ == "__main__":
    sys.exit(main())
