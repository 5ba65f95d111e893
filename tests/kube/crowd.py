# SPDX-License-Identifier: Apache-2.0
"""crowd.py URL: for each line of the input, a cgroup's folder, curl in there asks for the URL once and is gone, as a
container's first process: in the group before it is executed. Prints curl's exit status when it is."""
import os
import sys

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        with open(os.path.join(line.strip(), "cgroup.procs"), "w", encoding="ascii") as procs:
            procs.write("0")
        os.execvp("curl", ["curl", "-sS", "--fail", "-o", "/dev/null", sys.argv[1]])
    print(os.waitpid(child, 0)[1], flush=True)
