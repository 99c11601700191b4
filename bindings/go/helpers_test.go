package libmm

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

const golden = "../../tests/golden/"

var background = context.Background()

func fixture(name string) string { return filepath.Join(golden, filepath.FromSlash(name)) }

// must fails the test at the caller's line.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t testing.TB, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("the error is %v, not %v", err, target)
	}
}

// open loads a fixture in precision exact, with one thread: what it says is the same everywhere.
func open(t testing.TB, name string, opts ...OpenOption) *Model {
	t.Helper()
	m, err := Open(fixture(name), append([]OpenOption{WithPrecision(PrecisionExact), WithThreads(1)}, opts...)...)
	must(t, err)
	t.Cleanup(func() { m.Close() })
	return m
}

func session(t testing.TB, m *Model, opts ...Option) *Session {
	t.Helper()
	s, err := m.NewSession(opts...)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// answer plays a session to its end.
func answer(t testing.TB, s *Session) (text string, end Event) {
	t.Helper()
	for {
		e, err := s.Next(background)
		if errors.Is(err, io.EOF) {
			return text, end
		}
		must(t, err)
		switch e.Kind {
		case EventText:
			text += e.Text
		case EventEnd:
			end = e
		}
	}
}

func readJSON(t testing.TB, path string, to any) {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	must(t, json.Unmarshal(data, to))
}

func equal(a, b []int32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func dot(a, b []float32) (sum float64) {
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

// settles waits until no more goroutines run than before.
func settles(t testing.TB, before int) {
	t.Helper()
	for i := 0; i < 200; i++ {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	stacks := make([]byte, 1<<16)
	t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
}

func contains(list, word string) bool {
	for _, w := range strings.Fields(list) {
		if w == word {
			return true
		}
	}
	return false
}
