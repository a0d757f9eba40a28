"""Run a command that cannot be trusted: python -I jail.py SETTINGS.json

On Linux, where the system allows it, the command gets namespaces of its own: it has no network, does
not see other processes (all of its own end with it), and finds empty folders in the place of those it
must not see.  Except on Windows it gets limits of memory, file size and processor time.  What could be
done is written to the file ``status`` as JSON.  Standard library only.
"""

import ctypes
import json
import os
import signal
import sys

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = (
    0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
PR_SET_PDEATHSIG = 1
MAPPED = 8 * 2**30       # bytes of address space that torch and CUDA map but do not use


def main(path):
    with open(path, encoding="utf-8") as file:
        settings = json.load(file)
    status = {"namespaces": False, "limits": False, "why": ""}
    if sys.platform == "linux":
        try:
            separate(settings["hide"])
            status["namespaces"] = True
        except OSError as error:
            status["why"] = str(error)
    if sys.platform != "win32":
        limit(settings)
        status["limits"] = True
    with open(settings["status"], "w", encoding="utf-8") as file:
        json.dump(status, file)
    if not status["namespaces"]:
        if sys.platform == "win32":
            import subprocess
            sys.exit(subprocess.run(settings["command"], cwd=settings["folder"]).returncode)
        run(settings)
    # The first process of a new PID namespace: when it ends, all others in that namespace are killed.
    child = os.fork()
    if child == 0:
        libc().prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        run(settings)
    _, code = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(code) if os.WIFEXITED(code) else 128)


def run(settings):
    os.chdir(settings["folder"])
    os.execv(settings["command"][0], settings["command"])


def libc():
    return ctypes.CDLL(None, use_errno=True)


def call(name, *arguments):
    if getattr(libc(), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def separate(hide):
    """Enter new namespaces, in which nothing is seen in the places of ``hide``."""
    user, group = os.getuid(), os.getgid()
    call("unshare", CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC)
    for name, content in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(content)
    call("mount", None, b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None)
    for place in hide:
        if os.path.isdir(place):
            call("mount", b"tmpfs", os.fsencode(place), b"tmpfs", ctypes.c_ulong(0), b"size=64k")
        elif os.path.exists(place):
            call("mount", b"/dev/null", os.fsencode(place), None, ctypes.c_ulong(MS_BIND), None)


def limit(settings):
    import resource
    wanted = {"RLIMIT_AS": settings["memory"] + MAPPED, "RLIMIT_FSIZE": settings["file_size"],
              "RLIMIT_CPU": settings["seconds"], "RLIMIT_CORE": 0}
    for name, value in wanted.items():
        kind = getattr(resource, name, None)
        if kind is not None:
            try:
                resource.setrlimit(kind, (value, value))
            except (ValueError, OSError):            # macOS has no RLIMIT_AS; the watching process counts memory too
                continue


if __name__ == "__main__":
    main(sys.argv[1])
