"""Run a command and kill it when standard input ends.

A server started through this script ends with the process that has the other
end of the pipe open, even if that process is killed: the kernel closes the pipe.
This script uses only the standard library.
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
