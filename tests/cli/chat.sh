# A chat on a terminal: commands, control-C at the prompt and in an answer, a full context, and progress that is cleared.
. tests/cli/lib.sh
MM=$MM "${PYTHON:-python3}" - <<'PY'
import os, pty, re, select, sys, time

SLOW = int(os.environ.get("MM_TEST_SLOW") or 1)
MODEL = "tests/golden/llama"
bad = 0


def verdict(name, ok, seen=""):
    global bad
    print("ok " + name if ok else "FAIL %s: %r" % (name, seen[-400:]), flush=True)
    bad += not ok


class Chat:
    def __init__(self, *arguments):
        self.seen, self.at = "", 0
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.execv(os.environ["MM"], [os.environ["MM"], *arguments])

    def until(self, pattern, seconds=20):
        """Whether the pattern comes, behind what earlier calls waited for."""
        end = time.time() + seconds * SLOW
        while True:
            found = re.compile(pattern).search(self.seen, self.at)
            if found:
                self.at = found.end()
                return True
            if time.time() > end or not select.select([self.fd], [], [], max(0, end - time.time()))[0]:
                return False
            try:
                self.seen += os.read(self.fd, 4096).decode("utf-8", "replace")
            except OSError:
                found = re.compile(pattern).search(self.seen, self.at)
                return bool(found)

    def send(self, text):
        os.write(self.fd, text.encode())

    def ended(self):
        """The exit status, waited for."""
        self.until("no such text", 5)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


c = Chat("run", MODEL, "--max-tokens", "6", "--ignore-eos")
verdict("a chat begins with its commands", c.until(r"/image FILE.*/reset.*/quit") and c.until("\n> "), c.seen)
c.send("\x03")
verdict("control-C at the prompt gives a new one", c.until(r"Ctrl-C again leaves\)\r\n> "), c.seen)
c.send("hello\n")
verdict("... and the next question is answered", c.until("\n> ") and "cancel" not in c.seen and "interrupted" not in c.seen, c.seen)
c.send("\x03")
c.until("> ")
c.send("\x03")
verdict("twice in a row leaves", c.ended() == 0, c.seen)

for attempt in range(8):
    c = Chat("run", MODEL, "--ignore-eos", "--threads", "1", "--precision", "exact")
    c.until("\n> ")
    c.send("hello\n")
    c.until("hello\r\n.")
    c.send("\x03")
    stopped = c.until(r"\(interrupted\)\r\n> ", 2)
    if stopped:
        break
    c.send("/quit\n")
    c.ended()
verdict("control-C in an answer stops it and says so", stopped, c.seen)
c.send("hello\n")
verdict("... and the next question is answered to its end", c.until(r"context of 256 positions is full: /reset.*\r\n> "), c.seen)
c.send("again\n")
verdict("a full context says what helps", c.until("mm: .*positions.*/reset.*--ctx N.*\r\n> "), c.seen)
c.send("/reset\n")
c.until("> ")
c.send("/nonsense\n")
verdict("an unknown command lists the known", c.until("/image FILE"), c.seen)
for spelt in ("/image  a b.png", "/image 'a b.png' ", '/audio "a b.png"'):
    c.until("> ", 1)
    c.send(spelt + "\n")
    verdict(spelt + " names a file", c.until(r"\r\nmm: a b\.png: "), c.seen)
c.until("> ", 1)
c.send("/exit\n")
verdict("/exit leaves", c.ended() == 0, c.seen)
c = Chat("run", MODEL)
c.until("\n> ")
c.send("\x04")
verdict("so does control-D", c.ended() == 0, c.seen)

c = Chat("embed", "tests/golden/bert", "--text", "hello")
c.ended()
last = c.seen.split("\r\033[K")[-1]
verdict("progress is cleared before the first output", "%" in c.seen and last.startswith("[") and last.rstrip().endswith("]"), c.seen)
sys.exit(bad > 0)
PY
[ $? -eq 0 ] || bad=1
exit $bad
