"""Run code that cannot be trusted: python -I -S -B jail.py SETTINGS.json

``mode`` of the settings says how much the code is shut in:

- "namespaces" (Linux): a root of its own, made of the interpreter, its packages and the system's libraries, all of
  them read-only, and of a scratch folder of limited size in memory.  No network, no other processes, no terminal.
- "inside": the same, where bubblewrap has made that root already and runs this file in it.
- "plain": nothing but limits.  The code sees this machine's files and may write to the user's.

In all of them: limits of memory, file size, threads and processor time.  In the first two also: no capabilities,
and a filter that refuses the system calls by which code could get more rights, memory that nobody counts, or a socket
to elsewhere.  Everything that is refused while the jail is built ends it: no code runs in half a jail.  The first
message on standard output says "ready", or why not.  Standard library only.
"""

import ctypes
import json
import os
import platform
import select
import signal
import struct
import sys

READY, BROKEN = "ready", "broken"                  # names of the first message, see ``message``
NOBODY = 65534
MAPPED = 8 * 2**30                                 # bytes of address space that torch and CUDA map but do not use
MAX_FILES = 50_000                                 # in the scratch folder: each takes memory that its size hides
POLL_SECONDS = 0.1
CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x00020000, 0x02000000, 0x04000000
CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x08000000, 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 4096, 16384, 1 << 18, 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 24, 38
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, AT_RECURSIVE, AT_FDCWD = 1, 2, 0x8000, -100
MOUNT_SETATTR = 442                                # the number of this system call, the same on every processor
DEVICES = ("null", "zero", "full", "urandom", "random")

# Numbers of system calls: AUDIT_ARCH, pivot_root, clone, socket, and those that are refused.
PROCESSORS = {
    "x86_64": (0xC000003E, 155, 56, 41, (
        29, 64, 68, 101, 103, 153, 155, 161, 163, 165, 166, 167, 168, 169, 175, 176, 179, 240, 246, 248, 249, 250, 272,
        298, 303, 304, 308, 310, 311, 313, 319, 320, 321, 323)),
    "aarch64": (0xC00000B7, 41, 220, 198, (
        39, 40, 41, 51, 58, 60, 89, 97, 104, 105, 106, 116, 117, 142, 180, 186, 190, 194, 217, 218, 219, 224, 225, 241,
        264, 265, 268, 270, 271, 273, 279, 280, 282)),
}
# io_uring, open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, mount_setattr, memfd_secret.
REFUSED_EVERYWHERE = (425, 426, 427, 428, 429, 430, 431, 432, 433, 442, 447)
CLONE3 = 435


def main(path):
    with open(path, encoding="utf-8") as file:
        settings = json.load(file)
    try:
        if settings["mode"] == "namespaces":
            sys.exit(enter(settings))
        if settings["mode"] == "inside":
            inside(settings)
        plain(settings)
    except Exception as error:
        send(BROKEN, f"{type(error).__name__}: {error}".encode("utf-8", "replace")[:500])
        os._exit(1)


def message(name, content):
    """The bytes of a message: lengths of its name and its content, then both."""
    name = name.encode("ascii")
    return struct.pack("!HI", len(name), len(content)) + name + content


def send(name, content=b""):
    os.write(1, message(name, content))


# ---------------------------------------------------------------- a root of its own

def enter(settings):
    """Enter new namespaces and run the command there; returns its exit status.

    Root needs no namespace of users: its first process makes the root folder and is nobody from then on.
    """
    die_with_parent()
    user, group, is_root = os.getuid(), os.getgid(), os.getuid() == 0
    call("unshare", CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS
         | (0 if is_root else CLONE_NEWUSER))
    if not is_root:
        for name, content in (("setgroups", "deny"), ("uid_map", f"{NOBODY} {user} 1"),
                              ("gid_map", f"{NOBODY} {group} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(content)
    child = os.fork()            # the first process of the new namespace: when it ends, all others in it are killed
    if child == 0:
        try:
            die_with_parent()
            make_root(settings)
            inside(settings)
        except Exception as error:
            send(BROKEN, f"{type(error).__name__}: {error}".encode("utf-8", "replace")[:500])
        finally:
            os._exit(1)
    _, code = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(code) if os.WIFEXITED(code) else 128


def make_root(settings):
    """Make a root folder in memory, move into it, and let go of the old one."""
    sizes, root = settings["sizes"], settings["root"]
    call("mount", None, b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None)
    mount_memory(root, "size=4m,nr_inodes=20000,mode=755")
    for name, size in sizes.items():
        os.makedirs(root + name, exist_ok=True)
        mount_memory(root + name, f"size={size},nr_inodes={MAX_FILES},mode=1777")
    for source, target in [*settings["binds"], *((f"/dev/{name}", f"/dev/{name}") for name in DEVICES)]:
        bind(source, root + target)
    os.makedirs(f"{root}/proc")
    call("mount", b"proc", os.fsencode(f"{root}/proc"), b"proc", ctypes.c_ulong(MS_NOSUID | MS_NODEV | MS_NOEXEC), None)
    for place in ("sys", "sysrq-trigger", "irq", "bus"):       # a process of root's user could set the kernel's values
        if os.path.exists(f"{root}/proc/{place}"):
            bind(f"{root}/proc/{place}", f"{root}/proc/{place}")
    os.chdir(root)
    system_call(PROCESSORS[platform.machine()][1], b".", b".")
    call("umount2", b".", MNT_DETACH)
    os.chdir("/")
    read_only("/", recursive=False)
    call("sethostname", b"jail", ctypes.c_size_t(4))


def mount_memory(place, options):
    call("mount", b"tmpfs", os.fsencode(place), b"tmpfs", ctypes.c_ulong(MS_NOSUID | MS_NODEV), options.encode())


def bind(source, target):
    """Show a file or folder, with all that is mounted in it, at another place, read-only."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    elif not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        open(target, "xb").close()
    call("mount", os.fsencode(source), os.fsencode(target), None, ctypes.c_ulong(MS_BIND | MS_REC), None)
    read_only(target)


def read_only(place, recursive=True):
    attributes = struct.pack("=QQQQ", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, 0, 0, 0)
    system_call(MOUNT_SETATTR, AT_FDCWD, os.fsencode(place), AT_RECURSIVE if recursive else 0, attributes,
                ctypes.c_size_t(len(attributes)))


# ---------------------------------------------------------------- the rest of the jail

def inside(settings):
    """The first process of the jail: give up all rights, start the command, end with it."""
    die_with_parent()
    os.closerange(3, 4096)
    limit(settings)
    become_nobody()
    refuse_system_calls()
    if os.getpid() != 1 or os.access("/", os.W_OK):
        raise OSError("the jail's root can be written to")
    send(READY)
    child = os.fork()
    if child == 0:
        run(settings)
    os.close(1)
    while True:
        ended, code = os.waitpid(-1, os.WNOHANG)
        if ended == child:
            os._exit(os.waitstatus_to_exitcode(code) % 256)
        state = os.statvfs(settings["places"]["box"])
        if ended == 0 and state.f_files - state.f_ffree > MAX_FILES:       # bubblewrap does not limit their number
            os._exit(125)
        if ended == 0 and select.select([0], [], [], POLL_SECONDS)[0]:     # the grader is gone: see die_with_parent
            os._exit(124)


def plain(settings):
    """No jail: limits alone; what root starts becomes nobody all the same."""
    if sys.platform == "linux":
        die_with_parent()
    if sys.platform != "win32":
        limit(settings)
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            if not os.access(settings["command"][0], os.X_OK):
                raise OSError(f"root's {settings['command'][0]} may not be read by an ordinary user")
            if sys.platform == "linux":
                die_with_parent()
    if sys.platform == "win32":
        import subprocess
        send(READY)
        sys.exit(subprocess.run(settings["command"], cwd=settings["places"]["box"],
                                stdin=subprocess.DEVNULL).returncode)
    send(READY)
    run(settings)


def run(settings):
    try:
        nowhere = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nowhere, 0)
        os.close(nowhere)
        os.chdir(settings["places"]["box"])
        os.execv(settings["command"][0], settings["command"])
    finally:
        os._exit(126)


def die_with_parent():
    """End when the parent does.

    A parent without rights, as bubblewrap's is where root has started it, ends no process of another user's; so the
    first process of a jail also ends when its standard input does, whose other end the grader holds.
    """
    parent = os.getppid()
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:                     # it ended before
        os._exit(1)


def become_nobody():
    """Give up every right, so that what is mounted cannot be unmounted or made writable."""
    for capability in range(64):
        libc().prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)          # those that the kernel does not know are refused
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    header, nothing = struct.pack("=Ii", 0x20080522, 0), ctypes.create_string_buffer(24)
    call("capset", header, bytes(24))
    call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    call("capget", header, nothing)
    if any(nothing.raw) or 0 in (os.getuid(), os.geteuid(), os.getgid(), os.getegid()):
        raise OSError("rights of root are left")
    call("prctl", PR_SET_DUMPABLE, 0, 0, 0, 0)
    die_with_parent()                              # the change of user has taken it back


def refuse_system_calls():
    """A filter of system calls (seccomp), for this process and all that it starts."""
    arch, _, clone, socket, refused = PROCESSORS[platform.machine()]
    load, equal, bits, at_least, give = 0x20, 0x15, 0x45, 0x35, 0x06
    allow, refuse, no_such_call, no_such_family, kill = 0x7FFF0000, 0x50001, 0x50026, 0x50061, 0x80000000
    new = (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)
    steps = [(load, 0, 0, 4), (equal, 1, 0, arch), (give, 0, 0, kill), (load, 0, 0, 0)]
    steps += [(at_least, 0, 1, 0x40000000), (give, 0, 0, refuse)]              # a second table of numbers of x86_64
    for number in (*refused, *REFUSED_EVERYWHERE):
        steps += [(equal, 0, 1, number), (give, 0, 0, refuse)]
    steps += [(equal, 0, 1, CLONE3), (give, 0, 0, no_such_call)]               # its flags lie in memory; clone follows
    steps += [(equal, 0, 4, clone), (load, 0, 0, 16), (bits, 0, 1, new), (give, 0, 0, refuse), (give, 0, 0, allow)]
    steps += [(equal, 0, 4, socket), (load, 0, 0, 16), (equal, 1, 0, 1), (give, 0, 0, no_such_family),
              (give, 0, 0, allow), (give, 0, 0, allow)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    filters = ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(program)))
    call("prctl", PR_SET_SECCOMP, 2, ctypes.c_void_p(ctypes.addressof(filters)), 0, 0)


def limit(settings):
    import resource
    wanted = {"RLIMIT_AS": settings["memory"] + MAPPED, "RLIMIT_FSIZE": settings["file_size"], "RLIMIT_NOFILE": 256,
              "RLIMIT_NPROC": settings["threads"], "RLIMIT_CPU": settings["seconds"], "RLIMIT_CORE": 0,
              "RLIMIT_MSGQUEUE": 0, "RLIMIT_MEMLOCK": 0}
    for name, value in wanted.items():
        kind = getattr(resource, name, None)
        if kind is not None:
            try:
                resource.setrlimit(kind, (value, value))
            except (ValueError, OSError):            # macOS has no RLIMIT_AS; the watching process counts memory too
                continue


def libc():
    return ctypes.CDLL(None, use_errno=True)


def call(name, *arguments):
    if getattr(libc(), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def system_call(number, *arguments):
    call("syscall", ctypes.c_long(number), *arguments)


if __name__ == "__main__":
    main(sys.argv[1])
