"""Throw-away network namespaces with sockets, flows and raw frames in them, for tests of isolation by traffic.

One process plays every host: a thread enters a namespace, makes a socket there, and the socket stays in it.
"""
import ctypes
import fcntl
import json
import os
import queue
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def run(*command, **options):
    """Runs a program to its end; what it says on failure becomes the exception's text."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, **options)
    if done.returncode != 0:
        raise RuntimeError(' '.join(command) + ': ' + done.stderr.strip())
    return done.stdout


class Namespace:
    def __init__(self, name, loopback=True):
        self.name = name
        run('ip', 'netns', 'add', name)
        self.file = os.open('/run/netns/' + name, os.O_RDONLY | os.O_CLOEXEC)
        if loopback:
            self.ip('link', 'set', 'lo', 'up')

    def ip(self, *arguments):
        return run('ip', '-n', self.name, *arguments)

    def sh(self, *command, **options):
        return run('ip', 'netns', 'exec', self.name, *command, **options)

    def nft(self, text):
        return self.sh('nft', '-f', '-', input=text)

    def inside(self, function):
        """Calls the function with this namespace as its thread's own."""
        result = []

        def enter():
            if libc.setns(self.file, CLONE_NEWNET) != 0:
                result.append(OSError(ctypes.get_errno(), 'setns'))
                return
            try:
                result.append(function())
            except Exception as error:  # handed to the caller's thread
                result.append(error)

        thread = threading.Thread(target=enter, daemon=True)
        thread.start()
        thread.join(20)
        if not result:
            raise RuntimeError('a call inside ' + self.name + ' hangs')
        if isinstance(result[0], Exception):
            raise result[0]
        return result[0]

    def remove(self):
        os.close(self.file)
        run('ip', 'netns', 'del', self.name)


def remove_left_behind():
    """Namespaces of a run that was killed: those whose process is gone."""
    try:
        names = os.listdir('/run/netns')
    except FileNotFoundError:
        return
    for name in names:
        owner = re.fullmatch(r'fbn(\d+)-\w+', name)
        if owner and not os.path.exists('/proc/' + owner[1]):
            run('ip', 'netns', 'del', name)


class Lab:
    """Namespaces on one switch. Use with `with`: everything goes at the end, whatever happened."""

    def __init__(self):
        remove_left_behind()
        # An end that is asked for is an end like every other: the namespaces go.
        signal.signal(signal.SIGTERM, lambda *unused: sys.exit('FAIL: ended from outside'))
        self.prefix = 'fbn%d-' % os.getpid()
        self.spaces = {}
        self.tools = []

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        for tool in self.tools:
            tool.close()
        for space in self.spaces.values():
            try:
                space.remove()
            except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
                print('could not remove', space.name, error)

    def add(self, name):
        self.spaces[name] = Namespace(self.prefix + name)
        return self.spaces[name]

    def connect(self, a, a_link, b, b_link):
        a.ip('link', 'add', a_link, 'type', 'veth', 'peer', 'name', b_link, 'netns', b.name)


def up(space, link, *addresses):
    for address in addresses:
        space.ip('addr', 'add', address, 'dev', link, *(['nodad'] if ':' in address else []))
    space.ip('link', 'set', link, 'up')


class Tool:
    """isolate_tool inside a namespace."""

    def __init__(self, lab, space, program, *arguments):
        self.process = subprocess.Popen(['ip', 'netns', 'exec', space.name, program, *arguments], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.replies = queue.Queue()
        self.events = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()
        lab.tools.append(self)
        if not self.replies.get(timeout=10).get('ready'):
            raise RuntimeError('the backend does not start')

    def read(self):
        for line in self.process.stdout:
            reply = json.loads(line)
            (self.events if 'changed' in reply or 'mended' in reply else self.replies).put(reply)

    def ask(self, command, body=None):
        self.process.stdin.write(command + (' ' + (body if isinstance(body, str) else json.dumps(body)) if body else '')
                                 + '\n')
        self.process.stdin.flush()
        reply = self.replies.get(timeout=20)
        if 'error' in reply:
            raise RuntimeError(command + ': ' + reply['error'])
        return reply

    def forget_events(self):
        while not self.events.empty():
            self.events.get_nowait()

    def event(self, kind, patience):
        """When the next event of this kind happened, on the monotonic clock in ms; None when none comes."""
        end = time.monotonic() + patience
        while True:
            try:
                event = self.events.get(timeout=max(0.001, end - time.monotonic()))
            except queue.Empty:
                return None
            if kind in event:
                return event[kind]

    def close(self, kill=False):
        if self.process.poll() is None:
            if kill:
                self.process.kill()
            else:
                self.process.stdin.close()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def family_of(address):
    return socket.AF_INET6 if ':' in address else socket.AF_INET


def serve(space, address, port):
    """A TCP server that sends back what it gets."""
    def listen():
        server = socket.socket(family_of(address), socket.SOCK_STREAM)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((address, port))
        server.listen(64)
        return server
    server = space.inside(listen)

    def echo(connection):
        try:
            while data := connection.recv(4096):
                connection.sendall(data)
        except OSError:
            pass

    def accept():
        while True:
            connection, unused = server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=echo, args=(connection,), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()


def serve_udp(space, address, port):
    def bind():
        server = socket.socket(family_of(address), socket.SOCK_DGRAM)
        server.bind((address, port))
        return server
    server = space.inside(bind)

    def echo():
        while True:
            data, peer = server.recvfrom(2048)
            try:
                server.sendto(data, peer)
            except OSError:
                pass
    threading.Thread(target=echo, daemon=True).start()


def connects(space, address, port, source_port=0, patience=0.5):
    """Can a new connection carry a byte there and back?"""
    def attempt():
        with socket.socket(family_of(address), socket.SOCK_STREAM) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.settimeout(patience)
            if source_port:
                s.bind(('', source_port))
            try:
                s.connect((address, port))
                s.sendall(b'x')
                return s.recv(1) == b'x'
            except OSError:
                return False
    return space.inside(attempt)


def answers_udp(space, address, port, patience=0.4):
    def attempt():
        with socket.socket(family_of(address), socket.SOCK_DGRAM) as s:
            s.settimeout(patience)
            try:
                s.sendto(b'question', (address, port))
                return s.recv(100) == b'question'
            except OSError:
                return False
    return space.inside(attempt)


def refused_udp(space, address, port, at_most=0.2):
    """Is a program that sends a datagram and waits for the answer told at once that there will be none?"""
    def attempt():
        with socket.socket(family_of(address), socket.SOCK_DGRAM) as s:
            s.settimeout(2)
            s.connect((address, port))
            began = time.monotonic()
            try:
                s.send(MARK)
            except OSError:
                pass  # many programs look at the answer only
            try:
                s.recv(100)
            except TimeoutError:
                return False
            except OSError:
                return time.monotonic() - began < at_most
            return False
    return space.inside(attempt)


def send_as(space, address, packet):
    """A packet with an IP header of the sender's choice; it takes the way of all IP packets."""
    def attempt():
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as s:
            try:
                s.sendto(packet, (address, 0))
            except OSError:
                pass
    return space.inside(attempt)


def pings(space, address, patience=0.4):
    v6 = ':' in address

    def attempt():
        protocol = socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP
        request, reply = (128, 129) if v6 else (8, 0)
        text = b'echo' * 4
        message = struct.pack('!BBHHH', request, 0, 0, os.getpid() & 0xffff, 1) + text
        if not v6:  # the kernel fills the IPv6 one in
            message = message[:2] + struct.pack('!H', checksum(message)) + message[4:]
        with socket.socket(family_of(address), socket.SOCK_RAW, protocol) as s:
            end = time.monotonic() + patience
            try:
                s.sendto(message, (address, 0))
                while time.monotonic() < end:
                    s.settimeout(max(0.01, end - time.monotonic()))
                    data, origin = s.recvfrom(2048)
                    if origin[0] == address and data[0 if v6 else 20] == reply and text in data:
                        return True
            except OSError:
                pass
            return False
    return space.inside(attempt)


class Flow(threading.Thread):
    """One connection that is busy without end. It never connects again: when it dies, it is dead."""

    def __init__(self, space, address, port, pause=0.002, patience=5):
        super().__init__(daemon=True)
        self.pause = pause
        self.stop = False
        self.dead = None      # the error that ended it
        self.rounds = 0
        self.last_ok = 0.0    # monotonic
        self.slowest = 0.0    # of one round trip, seconds

        def connect():
            s = socket.socket(family_of(address), socket.SOCK_STREAM)
            s.settimeout(5)
            s.connect((address, port))
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s.settimeout(patience)
            return s
        self.socket = space.inside(connect)
        self.start()

    def run(self):
        while not self.stop:
            began = time.monotonic()
            try:
                self.socket.sendall(b'x' * 32)
                missing = 32
                while missing > 0:
                    data = self.socket.recv(missing)
                    if not data:
                        raise ConnectionError('closed')
                    missing -= len(data)
            except OSError as error:
                self.dead = type(error).__name__
                return
            self.rounds += 1
            self.last_ok = time.monotonic()
            self.slowest = max(self.slowest, self.last_ok - began)
            time.sleep(self.pause)

    def sent_again(self):
        """Segments that TCP had to send again: packets that were lost."""
        info = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        return struct.unpack_from('I', info, 100)[0]

    def moves(self, patience=3):
        """Does it still carry bytes, from now on?"""
        before, end = self.rounds, time.monotonic() + patience
        while self.dead is None and time.monotonic() < end:
            if self.rounds > before + 2:
                return True
            time.sleep(0.005)
        return False


MARK = b'firebreak-test-frame'


def checksum(data):
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


def udp4(source, target, source_port, target_port, payload=MARK):
    udp = struct.pack('!HHHH', source_port, target_port, 8 + len(payload), 0) + payload
    head = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, socket.inet_aton(source),
                       socket.inet_aton(target))
    return head[:10] + struct.pack('!H', checksum(head)) + head[12:] + udp


def udp6(source, target, target_port, payload=MARK):
    udp = struct.pack('!HHHH', 4444, target_port, 8 + len(payload), 1) + payload
    return struct.pack('!IHBB16s16s', 6 << 28, len(udp), 17, 64, source, target) + udp


def mac_of(space, link):
    text = space.ip('-o', 'link', 'show', link).split('link/ether ')[1].split()[0]
    return bytes.fromhex(text.replace(':', ''))


def raw_socket(space, link, protocol=0):
    def make():
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol))
        s.bind((link, protocol))
        return s
    return space.inside(make)


class Sniffer(threading.Thread):
    """Counts the frames with our mark that reach a link, tags and all."""

    def __init__(self, space, link):
        super().__init__(daemon=True)
        self.count = 0
        self.last = 0.0
        self.socket = raw_socket(space, link, 3)  # every protocol
        self.start()

    def run(self):
        while True:
            try:
                data, origin = self.socket.recvfrom(4096)
            except OSError:
                return
            if MARK in data and origin[2] != socket.PACKET_OUTGOING:
                self.count += 1
                self.last = time.monotonic()

    def seen_from(self, action, settle=0.25):
        """How many frames an action brings here."""
        before = self.count
        action()
        time.sleep(settle)
        return self.count - before


def open_tun(name):
    """A tunnel link of the calling thread's namespace; what the kernel sends on it is read from the descriptor."""
    fd = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    iff_tun, iff_no_pi, tunsetiff = 0x0001, 0x1000, 0x400454ca
    fcntl.ioctl(fd, tunsetiff, struct.pack('16sH22x', name.encode(), iff_tun | iff_no_pi))
    return fd


def read_marked(fd, settle=0.1):
    time.sleep(settle)
    count = 0
    while True:
        try:
            count += MARK in os.read(fd, 4096)
        except BlockingIOError:
            return count
