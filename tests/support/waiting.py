"""What the scripts that start servers share: free ports of this machine, and waiting with an end."""
import socket, time


def free_ports(count):
    """Ports of the loopback address that nobody listens on; all of them are told before one is let go."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def until(what, ask, seconds=20.0, every=0.02):
    """The first answer of ask() that is true. A server that does not answer yet is asked again."""
    end = time.monotonic() + seconds
    while True:
        try:
            answer = ask()
        except OSError:
            answer = None
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(every)
