package libmm

import (
	"errors"
	"io"
	"runtime"
	"sync"
	"testing"
	"time"
)

func TestNil(t *testing.T) {
	var e *Engine
	var m *Model
	var s *Session
	var in *Input
	for _, c := range []io.Closer{e, m, s, in} {
		must(t, c.Close())
	}
	s.Cancel()
	calls(t, e, m, s, in, ErrArg)
	calls(t, new(Engine), new(Model), new(Session), new(Input), ErrArg)
	for _, c := range []io.Closer{new(Engine), new(Model), new(Session), new(Input)} {
		must(t, c.Close())
	}
}

func TestAfterClose(t *testing.T) {
	m := open(t, "llama")
	s := session(t, m)
	in, err := m.Engine().NewInput()
	must(t, err)
	for _, c := range []io.Closer{in, s, m, m.Engine()} {
		must(t, c.Close())
		must(t, c.Close())
	}
	calls(t, m.Engine(), m, s, in, ErrState)
	s.Cancel()
}

// calls tries everything on handles that cannot be used.
func calls(t *testing.T, e *Engine, m *Model, s *Session, in *Input, target error) {
	t.Helper()
	for name, call := range map[string]func() error{
		"Engine.Info":           func() error { _, err := e.Info("threads"); return err },
		"Engine.Set":            func() error { return e.Set("tensors", "1000") },
		"Engine.Open":           func() error { _, err := e.Open(fixture("llama")); return err },
		"Engine.NewInput":       func() error { _, err := e.NewInput(); return err },
		"Model.Info":            func() error { _, err := m.Info("name"); return err },
		"Model.Summary":         func() error { _, err := m.Summary(); return err },
		"Model.Plan":            func() error { _, err := m.Plan(8); return err },
		"Model.Tokenize":        func() error { _, err := m.Tokenize("a", 0); return err },
		"Model.Detokenize":      func() error { _, err := m.Detokenize([]int32{1}, 0); return err },
		"Model.ApplyTemplate":   func() error { _, err := m.ApplyTemplate([]byte("[]"), true); return err },
		"Model.NewSession":      func() error { _, err := m.NewSession(); return err },
		"Model.LoadSession":     func() error { _, err := m.LoadSession([]byte("x")); return err },
		"Model.LoadSessionFile": func() error { _, err := m.LoadSessionFile("x"); return err },
		"Model.Generate":        func() error { _, err := m.Generate(background, Parts{Text("a")}); return err },
		"Model.Chat":            func() error { st := m.Chat(background, Parts{Text("a")}); st.Next(background); return st.Err() },
		"Model.Transcribe":      func() error { _, err := m.Transcribe(background, Text("a")).All(background); return err },
		"Model.Embed":           func() error { _, err := m.Embed(background, Text("a")); return err },
		"Model.Score":           func() error { _, err := m.Score(background, Text("a"), nil); return err },
		"Session.Feed":          func() error { return s.Feed(Text("a")) },
		"Session.FeedInput":     func() error { return s.FeedInput(in) },
		"Session.Count":         func() error { _, err := s.Count(); return err },
		"Session.Count of":      func() error { _, err := s.Count(Text("a")); return err },
		"Session.Next":          func() error { _, err := s.Next(background); return err },
		"Session.Reset":         func() error { return s.Reset() },
		"Session.Truncate":      func() error { return s.Truncate(0) },
		"Session.Fork":          func() error { _, err := s.Fork(); return err },
		"Session.Save":          func() error { return s.Save(io.Discard) },
		"Session.SaveFile":      func() error { return s.SaveFile("x") },
		"Session.Set":           func() error { return s.Set("task", "generate") },
		"Session.Stat":          func() error { _, err := s.Stat("n_past"); return err },
		"Input.Text":            func() error { return in.Text("a") },
		"Input.Role":            func() error { return in.Role("user") },
		"Input.Messages":        func() error { return in.Messages([]byte("[]"), "") },
		"Input.Tokens":          func() error { return in.Tokens([]int32{1}) },
		"Input.Pixels":          func() error { return in.Pixels(Pixels{Pix: make([]byte, 3), Width: 1, Height: 1}) },
		"Input.ImageFile":       func() error { return in.ImageFile("x") },
		"Input.ImageBytes":      func() error { return in.ImageBytes([]byte("x")) },
		"Input.Audio":           func() error { return in.Audio([]float32{0}, 16000, 1) },
		"Input.AudioI16":        func() error { return in.AudioI16([]int16{0}, 16000, 1) },
		"Input.AudioFile":       func() error { return in.AudioFile("x") },
		"Input.AudioBytes":      func() error { return in.AudioBytes([]byte("x")) },
		"Input.Clear":           func() error { return in.Clear() },
	} {
		if err := call(); !errors.Is(err, target) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Children go on working when their parents are closed.
func TestCloseOrder(t *testing.T) {
	m := open(t, "llama")
	e := m.Engine()
	s := session(t, m, WithMaxTokens(2), WithIgnoreEOS())
	in, err := e.NewInput(Text("Hi"))
	must(t, err)
	must(t, e.Close())
	must(t, m.Close())
	must(t, s.FeedInput(in))
	answer(t, s)
	must(t, s.Feed(Text("And?")))
	_, end := answer(t, s)
	if len(end.IDs) != 2 {
		t.Errorf("%v", end.IDs)
	}
	must(t, s.Close())
	must(t, in.Close())
}

func TestTwoGoroutines(t *testing.T) {
	m := open(t, "llama")
	s := session(t, m, WithIgnoreEOS())
	must(t, s.Feed(Text("Hi")))
	var wg sync.WaitGroup
	var mu sync.Mutex
	refused, served := 0, 0
	for i := 0; i < 4; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for j := 0; j < 50; j++ {
				_, err := s.Next(background)
				mu.Lock()
				switch {
				case err == nil:
					served++
				case errors.Is(err, ErrState):
					refused++
				case !errors.Is(err, io.EOF):
					t.Error(err)
				}
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	if served == 0 {
		t.Error("nobody was served")
	}

	// For certain: a callback holds the session while another goroutine asks for it.
	held := session(t, m)
	must(t, held.seize())
	done := make(chan error)
	go func() {
		_, err := held.Next(background)
		done <- err
	}()
	want(t, <-done, ErrState)
	held.h.yield()
}

// One model serves many goroutines, each with a session.
func TestManySessions(t *testing.T) {
	m := open(t, "llama")
	expected, err := m.Generate(background, Parts{Text("Hi")}, WithMaxTokens(8), WithIgnoreEOS())
	must(t, err)
	var wg sync.WaitGroup
	for i := 0; i < 8; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			a, err := m.Generate(background, Parts{Text("Hi")}, WithMaxTokens(8), WithIgnoreEOS())
			if err != nil || !equal(a.IDs, expected.IDs) {
				t.Errorf("%v %v", a.IDs, err)
			}
		}()
	}
	wg.Wait()
}

// Close from another goroutine stops an answer; nothing is used after it is gone.
func TestCloseDuringNext(t *testing.T) {
	m := open(t, "llama")
	for i := 0; i < 20; i++ {
		s := session(t, m, WithIgnoreEOS())
		must(t, s.Feed(Text("Hi")))
		time.AfterFunc(time.Duration(i)*100*time.Microsecond, func() { s.Close() })
		var err error
		for err == nil {
			_, err = s.Next(background)
		}
		if !errors.Is(err, ErrState) && !errors.Is(err, ErrCancelled) && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		s.Close()
		_, err = s.Next(background)
		want(t, err, ErrState)
	}
}

func TestReentry(t *testing.T) {
	helper := open(t, "llama")
	var inside error
	open(t, "llama", WithProgress(func(string, uint64, uint64) error {
		_, inside = helper.NewSession()
		return nil
	}))
	want(t, inside, ErrState)
}

// reentrant is a writer that uses the session that is being saved.
type reentrant struct {
	s   *Session
	err error
}

func (r *reentrant) Write(p []byte) (int, error) {
	r.s.Cancel()
	_, r.err = r.s.Next(background)
	return len(p), nil
}

func TestReentryOfSave(t *testing.T) {
	s := session(t, open(t, "llama"))
	w := reentrant{s: s}
	err := s.Save(&w)
	must(t, err)
	want(t, w.err, ErrState)
}

// What is never closed goes when the collector finds it.
func TestFinalizers(t *testing.T) {
	e, err := NewEngine(WithThreads(1))
	must(t, err)
	defer e.Close()
	func() {
		m, err := e.Open(fixture("llama"))
		must(t, err)
		s, err := m.NewSession()
		must(t, err)
		must(t, s.Feed(Text("Hi")))
		_, err = e.NewInput(Text("Hi"))
		must(t, err)
	}()
	for i := 0; i < 100; i++ {
		runtime.GC()
		e.h.mu.Lock()
		refs := e.h.refs
		e.h.mu.Unlock()
		if refs == 1 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d references are left", e.h.refs)
}
