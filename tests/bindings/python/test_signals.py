"""Ctrl-C, cancelled tasks, and the end of the interpreter: each in a process of its own."""
import time
import unittest

import harness
from harness import GOLDEN

#: A session whose next() takes many seconds, and how to interrupt this process in a moment.
LONG = """
import asyncio, gc, os, signal, sys, threading, time
import libmm
model = libmm.load(sys.argv[1], threads=2)
def long():
    session, built = model.session(task="embed"), model.input()
    for _ in range(200000):
        built.text("The license is 30 years old.")
    return session.feed(built)
def interrupt(after=0.3):
    threading.Timer(after, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
"""


class Signals(unittest.TestCase):
    def child(self, code, family="bert"):
        started = time.monotonic()
        out = harness.child(LONG + code, GOLDEN + family)
        self.assertLess(time.monotonic() - started, 30 * harness.SLOW)
        return out

    def test_interrupt_during_a_call(self):
        self.assertEqual("interrupted 2\n", self.child("""
session = long()
interrupt()
try:
    next(session)
except KeyboardInterrupt:
    print("interrupted", len(list(session.feed("again"))))
"""))

    def test_interrupt_twice(self):
        self.assertEqual("interrupted\n" * 2, self.child("""
for _ in range(2):
    session = long()
    interrupt()
    interrupt(0.3001)
    try:
        try:
            next(session)
        finally:
            time.sleep(0.5)
    except KeyboardInterrupt:
        print("interrupted")
"""))

    def test_interrupt_of_an_answer(self):
        self.assertEqual("interrupted True 4\n", self.child("""
answer = None
interrupt()
try:
    while True:
        with model.generate("The licensor", max_tokens=150, ignore_eos=True) as answer:
            for piece in answer:
                pass
except KeyboardInterrupt:
    print("interrupted", answer.session.closed, len(model.generate("The", max_tokens=4, ignore_eos=True).ids))
""", "llama"))

    # CPython 3.13 keeps a loop's jump back out of the `try` around it; the call of a function is inside.
    def test_interrupt_between_quick_tokens(self):
        self.assertEqual("interrupted 150\n", self.child("""
session = model.session(raw=True, max_tokens=150, ignore_eos=True)
armed, hit = False, 0
def handler(*_):
    if armed:
        raise KeyboardInterrupt
def answer():
    while session.next() is not None:
        pass
signal.signal(signal.SIGALRM, handler)
for i in range(200):
    session.reset().feed("The licensor")
    try:
        armed = True
        signal.setitimer(signal.ITIMER_REAL, 0.0005 + 0.00001 * i)
        answer()
        armed = False
    except KeyboardInterrupt:
        hit += 1
    armed = False
    signal.setitimer(signal.ITIMER_REAL, 0)
assert hit, "never interrupted"
print("interrupted", len(session.reset().ask("The licensor").ids))
""", "llama"))

    def test_handler_that_cancels(self):
        self.assertEqual("Cancelled\n", self.child("""
session = long()
signal.signal(signal.SIGINT, lambda *_: session.cancel())
interrupt()
try:
    next(session)
except libmm.Cancelled as e:
    print(type(e).__name__)
"""))

    def test_interrupt_of_a_load(self):
        self.assertEqual("interrupted\n", self.child("""
def progress(*_):
    os.kill(os.getpid(), signal.SIGINT)
try:
    libmm.load(sys.argv[1], progress=progress)
    time.sleep(1)
except KeyboardInterrupt:
    print("interrupted")
"""))

    def test_cancelled_task(self):
        self.assertEqual("cancelled 2\n", self.child("""
async def main():
    session = long()
    async def work():
        async for event in session:
            pass
    task = asyncio.create_task(work())
    await asyncio.sleep(0.3)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        print("cancelled", len([e async for e in session.feed("again")]))
asyncio.run(main())
"""))

    def test_other_threads_run_meanwhile(self):
        ticks = int(self.child("""
ticks, session = 0, long()
threading.Timer(0.5, session.cancel).start()
done = threading.Event()
def work():
    try:
        next(session)
    except libmm.Cancelled:
        done.set()
threading.Thread(target=work).start()
while not done.is_set():
    ticks += 1
    time.sleep(0.001)
print(ticks)
"""))
        self.assertGreater(ticks, 20)

    def test_exit_with_everything_open(self):
        self.assertEqual("", self.child("""
logs = []
noisy = libmm.load(sys.argv[1], log=lambda *a: logs.append(a), log_level="debug")
kept = [noisy.session(), noisy.input(), model.session(task="embed"), noisy]
kept[2].feed("a").next()
loop = kept
loop.append(loop)
"""))

    def test_exit_during_a_call(self):
        self.assertEqual("leaving\n", self.child("""
session = long()
def work():
    try:
        next(session)
    except libmm.Error:
        pass
threading.Thread(target=work, daemon=True).start()
time.sleep(0.2)
print("leaving", flush=True)
"""))

    def test_nothing_grows(self):
        self.assertEqual("steady\n", self.child("""
def facts():
    gc.collect()
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages, len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
def use():
    with libmm.load(sys.argv[1], threads=2) as m:
        m.embed("The license is 30 years old.")
        try:
            m.input().image("nowhere.png")
        except libmm.NotFound:
            pass
for _ in range(30):
    use()
before = facts()
for _ in range(200):
    use()
after = facts()
assert after[1:] == before[1:], (before, after)
assert after[0] - before[0] < 500, (before, after)
print("steady")
""") if not harness.SAN else "steady\n")


if __name__ == "__main__":
    harness.main()
