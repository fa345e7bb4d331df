# ruff: noqa: E501
"""Programs that try to do harm. Each defines `attack`, which returns what it got hold of, or raises."""

from __future__ import annotations

LIBC = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"

GETS_NOTHING = {
    "reads /etc/passwd": "def attack(): return open('/etc/passwd').read()",
    "reads the home folder": (
        "import os\n"
        "def attack():\n"
        "    found = []\n"
        "    for folder in ('/root', '/home', os.path.expanduser('~'), HOME):\n"
        "        for where, _, names in os.walk(folder):\n"
        "            found += [os.path.join(where, n) for n in names if '/lib/python3' not in where]\n"
        "    return [one for one in found if not one.endswith(('.so', '.a')) and '/lib/' not in one\n"
        "            and '/bin/python' not in one]"
    ),
    "reads installed packages": (
        "import os, sys\n"
        "def attack():\n"
        "    folders = [p + '/site-packages' for p in sys.path + [STDLIB]]\n"
        "    return [x for p in folders if os.path.isdir(p) for x in os.listdir(p)]"
    ),
    "reads our file": "def attack(): return open(SECRET).read()",
    "reads our environment": "import os\ndef attack(): return [k for k in os.environ if 'LC_' in k or 'KEY' in k]",
    "writes outside": (
        "import os\n"
        "def attack():\n"
        "    written = []\n"
        "    for path in (SECRET + '.new', '/x', '/usr/x', '/dev/x', '/etc/x', '/lib/x', STDLIB + '/x.py'):\n"
        "        try:\n"
        "            open(path, 'w').close(); written.append(path)\n"
        "        except OSError: pass\n"
        "    return written"
    ),
    "remounts": (
        LIBC + "def attack(): return [flags for flags in (4096, 4096 | 32, 32)\n"
        "    if libc.mount(b'none', b'/', None, flags, None) == 0]"
    ),
    "opens a socket": (
        "import socket\n"
        "def attack():\n"
        "    got = []\n"
        "    for family, address in ((socket.AF_INET, ('127.0.0.1', PORT)), (socket.AF_INET6, ('::1', PORT)),\n"
        "                            (socket.AF_UNIX, '\\0coral-test'), (socket.AF_NETLINK, (0, 0))):\n"
        "        try:\n"
        "            s = socket.socket(family, socket.SOCK_STREAM); s.connect(address); got.append(address)\n"
        "        except OSError: pass\n"
        "    return got"
    ),
    "makes sockets as pairs": (
        # For each family that the kernel does not know it loads a module, if there is one.
        "import errno, socket\n"
        "def attack():\n"
        "    got = []\n"
        "    for family in range(2, 46):\n"
        "        try: socket.socketpair(family); got.append(family)\n"
        "        except OSError as error: got += [family] * (error.errno != errno.EPERM)\n"
        "    return got"
    ),
    "walks /proc": (
        "import os\n"
        "def attack():\n"
        "    got = []\n"
        "    for path in ('/proc/self/fd', '/proc/1/environ', '/proc/self/mem', '/proc/1/mem', '/proc/self/root',\n"
        "                 '/proc/sys/kernel/hostname', '/proc/sysrq-trigger', '/sys/kernel', '/dev/mem', '/dev/sda',\n"
        "                 '/dev/tty', '/dev/shm', '/dev/pts', '/dev/fd'):\n"
        "        if os.path.lexists(path): got.append(path)\n"
        "    return got"
    ),
    "follows symlinks out": (
        "import os\n"
        "def attack():\n"
        "    os.symlink('/../../../../etc/passwd', 'a'); os.symlink(SECRET, 'b')\n"
        "    return [name for name in 'ab' if os.path.exists(name)]"
    ),
    "starts processes": (
        "import os, subprocess, multiprocessing\n"
        "def tries():\n"
        "    yield os.fork\n"
        "    yield lambda: subprocess.run(['/bin/sh', '-c', 'true'])\n"
        "    yield lambda: os.posix_spawn('/bin/true', ['true'], {})\n"
        "    yield lambda: os.forkpty()\n"
        "def attack():\n"
        "    got = []\n"
        "    for one in tries():\n"
        "        try: one(); got.append(1)\n"
        "        except OSError: pass\n"
        "    return got"
    ),
    "nests namespaces": (
        LIBC + "libc.syscall.restype = ctypes.c_long\n"
        "def attack():\n"
        "    got = [hex(flag) for flag in (0x10000000, 0x20000, 0x20000000, 0x40000000, 0x8000000, 0x4000000,\n"
        "           0x2000000, 0x80) if libc.unshare(flag) == 0]\n"
        "    number = 56 if __import__('os').uname().machine == 'x86_64' else 220\n"
        "    for flags in (0x10000000 | 17, 0x10000000 | 0x20000000 | 17, 17, 0x100 | 0x4000 | 17):\n"
        "        pid = libc.syscall(number, flags, 0, 0, 0, 0)\n"
        "        if pid == 0: __import__('os')._exit(0)\n"
        "        if pid > 0: got.append(flags)\n"
        "    args = (ctypes.c_uint64 * 11)(0x10000000, 0, 0, 0, 17)\n"
        "    pid = libc.syscall(435, args, 88)\n"
        "    if pid == 0: __import__('os')._exit(0)\n"
        "    if pid > 0: got.append('clone3')\n"
        "    return got"
    ),
    "traces its parent": (
        LIBC + "import os\n"
        "class Vec(ctypes.Structure): _fields_ = [('base', ctypes.c_void_p), ('len', ctypes.c_size_t)]\n"
        "def attack():\n"
        "    libc.ptrace.restype = ctypes.c_long\n"
        "    got = []\n"
        "    buffer = ctypes.create_string_buffer(8)\n"
        "    local, remote = Vec(ctypes.addressof(buffer), 8), Vec(ctypes.addressof(buffer), 8)\n"
        "    for pid in {1, 2, 3, os.getppid()} - {os.getpid()}:\n"
        "        if libc.ptrace(16, pid, 0, 0) == 0: got.append(pid)\n"
        "        if libc.process_vm_readv(pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0) > 0: got.append(pid)\n"
        "        if libc.syscall(434, pid, 0) >= 0: got.append('pidfd')\n"
        "    return got"
    ),
    "regains privileges": (
        LIBC + "import os\n"
        "def attack():\n"
        "    got = []\n"
        "    for one in (lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.chroot('/tmp'),\n"
        "                lambda: os.mknod('/tmp/d', 0o60600, 0x800), lambda: os.setgroups([0]),\n"
        "                lambda: os.chown('/tmp', 0, 0)):\n"
        "        try: one(); got.append(1)\n"
        "        except OSError: pass\n"
        "    return got"
    ),
    "changes devices and files": (
        # To what they are: where the jail has a hole, this harms no machine.
        LIBC + "import os\n"
        "def tries(path):\n"
        "    found = os.stat(path)\n"
        "    mode, times = found.st_mode & 0o7777, (found.st_atime_ns, found.st_mtime_ns)\n"
        "    number = os.open(path, os.O_RDONLY)\n"
        "    yield 'chmod', lambda: os.chmod(path, mode)\n"
        "    yield 'fchmod', lambda: os.fchmod(number, mode)\n"
        "    yield 'fchmodat', lambda: os.chmod(os.path.basename(path), mode, dir_fd=os.open(os.path.dirname(path), 0))\n"
        "    yield 'fchmodat2', lambda: libc.syscall(452, -100, path.encode(), mode, 0) and os.stat('/none')\n"
        "    yield 'chown', lambda: os.chown(path, found.st_uid, found.st_gid)\n"
        "    yield 'fchown', lambda: os.fchown(number, found.st_uid, found.st_gid)\n"
        "    yield 'lchown', lambda: os.lchown(path, found.st_uid, found.st_gid)\n"
        "    yield 'utime', lambda: os.utime(path, ns=times)\n"
        "    yield 'futime', lambda: os.utime(number, ns=times)\n"
        "    yield 'setxattr', lambda: os.setxattr(path, 'user.coral', b'')\n"
        "    yield 'removexattr', lambda: os.removexattr(path, 'user.coral')\n"
        "def attack():\n"
        "    got = []\n"
        "    for path in ('/dev/null', '/dev/zero', '/dev/urandom', STDLIB + '/os.py'):\n"
        "        for name, one in tries(path):\n"
        "            try: one(); got.append((path, name))\n"
        "            except OSError: pass\n"
        "    return got"
    ),
    "keeps keys": LIBC
    + "def attack(): return [1] if libc.syscall(248, b'user', b'a', b'b', 1, -3) > 0 else []",
    "holds memory that no limit counts": (
        LIBC + "import os\n"
        "def attack():\n"
        "    got = [1] if hasattr(os, 'memfd_create') and libc.memfd_create(b'x', 0) >= 0 else []\n"
        "    return got + ([2] if libc.shmget(0, 1 << 20, 0o1600) >= 0 else [])"
    ),
    "finds open descriptors": (
        "import os\n"
        "def attack():\n"
        "    got = []\n"
        "    for n in range(256):\n"
        "        try: kind = os.fstat(n).st_mode & 0o170000\n"
        "        except OSError: continue\n"
        "        if kind == 0o140000: got.append(n)  # a socket\n"
        "    return got"
    ),
}
"""`attack` returns a list or a text of what it got, which has to be empty, or an exception."""

DOES_NOT_PASS = {
    "exits at once": "import os\nos._exit(0)",
    "exits in the call": "import os\ndef attack(): os._exit(0)",
    "sys.exit in the module": "import sys\nsys.exit(0)",
    "sys.exit in the call": "import sys\ndef attack(): sys.exit(0)",
    "raises SystemExit in a destructor": "class A:\n    def __del__(self): raise SystemExit(0)\ndef attack(): A()",
    "raises StopIteration": "def attack(): raise StopIteration",
    "raises GeneratorExit": "def attack(): raise GeneratorExit",
    "raises KeyboardInterrupt": "def attack(): raise KeyboardInterrupt",
    "equals everything": (
        "class A:\n"
        "    def __eq__(self, other): return True\n"
        "    def __ne__(self, other): return False\n"
        "    __lt__ = __gt__ = __le__ = __ge__ = __contains__ = __eq__\n"
        "    def __hash__(self): return hash(42)\n"
        "    def __bool__(self): return True\n"
        "def attack(): return A()\n"
        "def answer(): return A()"
    ),
    "equals everything, as an int": (
        "class A(int):\n    def __eq__(self, other): return True\n    def __ne__(self, other): return False\n"
        "    def __format__(self, spec): return '2a'\n"
        "def attack(): return A(1)\ndef answer(): return A(41)"
    ),
    "equals everything, as a fraction": (
        "from fractions import Fraction\n"
        "class A(Fraction):\n    def __eq__(self, other): return True\n    __hash__ = Fraction.__hash__\n"
        "def attack(): return A(1)\ndef answer(): return A(41)"
    ),
    "says that it is a fraction": (
        "class A:\n    numerator, denominator = 41, 1\n    def __eq__(self, other): return True\n"
        "A.__module__, A.__qualname__ = 'fractions', 'Fraction'\n"
        "def attack(): return A()\ndef answer(): return A()"
    ),
    "says that it is a deque": (
        "class A:\n    maxlen = 1\n    def __iter__(self): return iter([A()])\n"
        "A.__module__, A.__qualname__ = 'collections', 'deque'\n"
        "def attack(): return A()\ndef answer(): return A()"
    ),
    "a fraction that takes long": (
        "from fractions import Fraction\ndef attack(): return Fraction(7 ** 400000, 11 ** 400000 + 2)"
    ),
    "a decimal without bounds": (
        "from decimal import Decimal\ndef attack(): return Decimal('1e999999999999999999')\nanswer = attack"
    ),
    "reflects operators": (
        "class A:\n    def __req__(self, other): return True\n    def __rsub__(self, other): return 0\n"
        "    def __sub__(self, other): return 0\n    def __radd__(self, other): return other\n"
        "def attack(): return A()\ndef answer(): return A()"
    ),
    "patches builtins": (
        "import builtins, sys, operator\n"
        "builtins.AssertionError = Exception\n"
        "for name in ('len', 'isinstance', 'print', 'all', 'any', 'type', 'repr', 'sorted', 'set', 'abs'):\n"
        "    setattr(builtins, name, lambda *a, **k: 1)\n"
        "sys.modules.clear()\n"
        "def attack(): return 1"
    ),
    "patches whom it finds": (
        "import gc, sys, types\n"
        "for one in gc.get_objects():\n"
        "    if type(one) is types.FunctionType and one.__name__ in ('judge', 'dumps', '_write', '_reply', 'loads'):\n"
        "        one.__code__ = (lambda *a, **k: ('passed', '')).__code__\n"
        "sys.settrace(lambda *a: None); sys.setprofile(lambda *a: None)\n"
        "def attack(): return 1"
    ),
    "walks the frames": (
        "import sys\n"
        "def attack():\n"
        "    frame = sys._getframe()\n"
        "    while frame:\n"
        "        for name in list(frame.f_globals):\n"
        "            if name in ('judge', 'VERDICT', 'dumps'): frame.f_globals[name] = b'V'\n"
        "        frame = frame.f_back"
    ),
    "writes verdicts everywhere": (
        "import os\n"
        "def attack():\n"
        "    body = b'u2:.s6:passeds0:'\n"
        "    for n in range(256):\n"
        "        for frame in (b'V' + body, body, b'Z', b'passed\\n'):\n"
        "            try: os.write(n, len(frame).to_bytes(4, 'big') + frame)\n"
        "            except OSError: pass\n"
        "    return 1"
    ),
    "writes garbage everywhere": (
        "import os\n"
        "def attack():\n"
        "    for n in range(256):\n"
        "        try: os.write(n, os.urandom(4096))\n"
        "        except OSError: pass\n"
        "    return 1"
    ),
    "closes all descriptors": "import os\ndef attack(): os.closerange(0, 256)",
    "reads the tests' requests": (
        "import os\n"
        "def attack():\n"
        "    for n in range(3, 20):\n"
        "        try: os.set_blocking(n, False); os.read(n, 100000)\n"
        "        except OSError: pass"
    ),
    "returns deep data": "def attack():\n    x = []\n    for _ in range(100000): x = [x]\n    return x",
    "returns cyclic data": "def attack():\n    x = []\n    x.append(x)\n    return x",
    "returns giant data": "def attack(): return 'x' * (100 << 20)",
    "returns many things": "def attack(): return [None] * (20 << 20)",
    "returns a huge integer": "def attack(): return 7 ** 3000000",
    "huge integer to text": "def attack(): return str(7 ** 3000000)",
    "lies about its length": (
        "class L(list):\n    def __len__(self): return 10**9\n    def __iter__(self): return iter([1] * 3)\n"
        "def attack(): return L([1, 2])"
    ),
    "an exception whose text fails": (
        "class E(Exception):\n    def __str__(self): raise RuntimeError\n    __repr__ = __str__\n"
        "def attack(): raise E"
    ),
    "an exception whose text is long": "def attack(): raise ValueError('x' * (50 << 20))",
    "an exception that colours terminals": "def attack(): raise ValueError('\\x1b[2J\\x1b]0;owned\\x07\\u202e\\n\\n')",
    "an exception with a metaclass": (
        "class M(type):\n    __mro__ = ()\n    def __getattribute__(cls, name): raise OSError\n"
        "class E(Exception, metaclass=M): pass\ndef attack(): raise E"
    ),
    "recurses": "import sys\nsys.setrecursionlimit(10**9)\ndef attack(): return attack()",
    "crashes": "import ctypes\ndef attack(): ctypes.string_at(0)",
    "kills itself": "import os, signal\ndef attack(): os.kill(os.getpid(), signal.SIGKILL)",
    "aborts": "import os\ndef attack(): os.abort()",
    "kills its parent": (
        "import os, signal\n"
        "def attack():\n"
        "    for pid in (os.getppid(), 1, 0, -1):\n"
        "        try: os.kill(pid, signal.SIGKILL)\n"
        "        except OSError: pass"
    ),
    "stops its parent": (
        "import os, signal\n"
        "def attack():\n"
        "    for pid in (os.getppid(), 1, -1):\n"
        "        try: os.kill(pid, signal.SIGSTOP)\n"
        "        except OSError: pass"
    ),
    "limits its parent": (
        "import os, resource\n"
        "def attack():\n"
        "    for pid in (os.getppid(), 1, 2, 3):\n"
        "        if pid == os.getpid(): continue\n"
        "        for which in (resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_NOFILE):\n"
        "            try: resource.prlimit(pid, which, (1, 1))\n"
        "            except (OSError, ValueError): pass"
    ),
    "ignores signals": (
        "import signal\n"
        "for n in range(1, 65):\n"
        "    try: signal.signal(n, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\n"
        "def attack():\n    while True: pass"
    ),
    "loops": "def attack():\n    while True: pass",
    "sleeps": "import time\ndef attack(): time.sleep(1000)",
    "computes without end": "def attack(): return 9 ** 9 ** 9",
    "matches without end": "import re\ndef attack(): re.match('(a+)+$', 'a' * 60 + 'b')",
    "yields without end": "import itertools\ndef attack(): return sum(itertools.count())",
    "fork bomb": "import os\ndef attack():\n    while True: os.fork()",
    "thread bomb": (
        "import threading, time\n"
        "threading.stack_size(32768)\n"
        "def attack():\n    while True: threading.Thread(target=time.sleep, args=(1000,)).start()"
    ),
    "memory bomb": "def attack():\n    held = []\n    while True: held.append(bytearray(1 << 20))",
    "file bomb": (
        "def attack():\n"
        "    n = 0\n"
        "    while True:\n"
        "        n += 1\n"
        "        open(f'/tmp/{n}', 'wb').write(b'x' * (8 << 20))"
    ),
    "a file too large": "def attack():\n    with open('/tmp/x', 'wb') as f:\n        while True: f.write(b'x' * (1 << 20))",
    "pipe bomb": (
        "import os\n"
        "def attack():\n"
        "    held = []\n"
        "    while True:\n"
        "        held.append(os.pipe()); os.set_blocking(held[-1][1], False); os.write(held[-1][1], b'x' * 60000)"
    ),
    "threads that outlive": (
        "import threading, time\n"
        "def attack(): threading.Thread(target=time.sleep, args=(1000,)).start(); return 1"
    ),
    "registers for the end": (
        "import atexit, os, time\n"
        "atexit.register(lambda: (time.sleep(1000), os._exit(0)))\n"
        "def attack(): raise SystemExit(0)"
    ),
    "becomes another program": (
        "import os, sys\ndef attack(): os.execv(sys.executable or '/usr/bin/python3', ['python3', '-c', 'pass'])"
    ),
    "changes limits": (
        "import resource\n"
        "for one in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE):\n"
        "    try: resource.setrlimit(one, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "    except (OSError, ValueError): pass\n"
        "def attack():\n    held = []\n    while True: held.append(bytearray(1 << 20))"
    ),
}
"""Ends in any way but well: after `attack` the tests ask for an answer that no program here gives."""

WRITES = {
    "10 GB of output": "import sys\nfor _ in range(10_000): sys.stdout.write('x' * (1 << 20))",
    "10 GB of errors": "import sys\nfor _ in range(10_000): sys.stderr.write('x' * (1 << 20))",
    "output by system calls": "import os\nwhile True: os.write(1, b'x' * 65536)",
}
