package libmm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

func TestGenerate(t *testing.T) {
	m := open(t, "llama")
	a, err := m.Generate(background, Parts{Text("Hi")}, WithMaxTokens(5), WithIgnoreEOS(), WithLogProbs(), WithTopLogProbs(3))
	must(t, err)
	if len(a.IDs) != 5 || a.Reason != "length" || a.PromptTokens == 0 || len(a.LogProbs) == 0 || a.LogProbs[0] >= 0 {
		t.Errorf("%+v", a)
	}
	_, err = m.Generate(background, nil)
	want(t, err, ErrArg)
	_, err = m.Generate(background, Parts{ImageFile(fixture("_inputs/photo.jpg"))})
	want(t, err, ErrUnsupported)
	_, err = m.Generate(background, Parts{Tokens([]int32{1, 2, 3})})
	want(t, err, ErrArg)
	_, err = m.Generate(background, Parts{Tokens([]int32{1, 2, 3})}, WithRaw(), WithMaxTokens(1))
	must(t, err)
}

func TestOptions(t *testing.T) {
	m := open(t, "llama")
	text := Parts{Text("The licensor grants you")}
	hot := func(seed uint64) []int32 {
		a, err := m.Generate(background, text, WithMaxTokens(16), WithIgnoreEOS(), WithTemperature(1.5), WithTopK(50), WithTopP(0.95),
			WithMinP(0.01), WithRepeatPenalty(1.1), WithSeed(seed), WithContextSize(128))
		must(t, err)
		return a.IDs
	}
	if !equal(hot(7), hot(7)) || equal(hot(7), hot(8)) {
		t.Error("the seed does not decide")
	}
	for name, o := range map[string]Option{
		"temperature": WithTemperature(-1), "NaN": WithTemperature(float32(math.NaN())), "top_p": WithTopP(0), "min_p": WithMinP(2),
		"penalty": WithRepeatPenalty(0), "logprobs": WithTopLogProbs(21), "negative": WithMaxTokens(-1), "nil": nil,
		"task": WithTask("dance"),
	} {
		if _, err := m.NewSession(o); !errors.Is(err, ErrArg) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := m.NewSession(WithContextSize(1 << 20))
	want(t, err, ErrContext)
	_, err = m.NewSession(WithSetting("no such key", "1"))
	want(t, err, ErrKey)

	greedy, err := m.Generate(background, text, WithMaxTokens(8), WithIgnoreEOS(), WithRaw())
	must(t, err)
	var stop string
	for _, r := range greedy.Text {
		if r > ' ' && r < 127 {
			stop = string(r)
			break
		}
	}
	if stop == "" {
		t.Fatalf("nothing to stop at in %q", greedy.Text)
	}
	short, err := m.Generate(background, text, WithMaxTokens(8), WithIgnoreEOS(), WithRaw(), WithStop("never in there", stop))
	must(t, err)
	if short.Reason != "stop" || len(short.Text) >= len(greedy.Text) {
		t.Errorf("stopped at %q: %+v, without %q", stop, short, greedy.Text)
	}
	forced, err := m.Generate(background, text, WithMaxTokens(3), WithIgnoreEOS(), WithSetting("force_ids", "40 41"))
	must(t, err)
	if len(forced.IDs) < 2 || forced.IDs[0] != 40 || forced.IDs[1] != 41 {
		t.Errorf("forced: %v", forced.IDs)
	}
}

func TestSession(t *testing.T) {
	m := open(t, "llama")
	s := session(t, m, WithMaxTokens(3), WithIgnoreEOS())
	if _, err := s.Next(background); !errors.Is(err, io.EOF) {
		t.Errorf("an idle session says %v", err)
	}
	must(t, s.Feed(Role("system"), Text("Be brief."), Role("user"), Text("Hi")))
	_, first := answer(t, s)
	past, err := s.Stat("n_past")
	must(t, err)
	if past < float64(first.PromptTokens) {
		t.Errorf("%v positions after a prompt of %d", past, first.PromptTokens)
	}
	must(t, s.Feed(Text("And?")))
	_, second := answer(t, s)
	if second.PromptTokens <= first.PromptTokens {
		t.Errorf("the second prompt has %d positions, the first had %d", second.PromptTokens, first.PromptTokens)
	}
	_, err = s.Stat("no such key")
	want(t, err, ErrKey)
	must(t, s.Reset())
	must(t, s.Feed(Role("system"), Text("Be brief."), Role("user"), Text("Hi")))
	if _, again := answer(t, s); !equal(again.IDs, first.IDs) {
		t.Errorf("after a reset: %v, not %v", again.IDs, first.IDs)
	}
	if s.Model() != m {
		t.Error("the session forgets its model")
	}
}

func TestWrongOrder(t *testing.T) {
	m := open(t, "llama")
	s := session(t, m, WithMaxTokens(4), WithIgnoreEOS())
	must(t, s.Feed(Text("Hi")))
	_, err := s.Next(background)
	must(t, err)
	want(t, s.Feed(Text("too early")), ErrState)
	want(t, s.Set("task", "generate"), ErrState)
	_, err = s.Fork()
	want(t, err, ErrState)
	want(t, s.Truncate(0), ErrState)
	want(t, s.Save(io.Discard), ErrState)
	want(t, s.SaveFile(filepath.Join(t.TempDir(), "a")), ErrState)
	must(t, s.Reset())
	other := open(t, "llama")
	in, err := other.Engine().NewInput(Text("Hi"))
	must(t, err)
	defer in.Close()
	want(t, s.FeedInput(in), ErrArg)
}

func TestCancel(t *testing.T) {
	m := open(t, "llama")
	before := runtime.NumGoroutine()
	s := session(t, m, WithIgnoreEOS())
	for i := 0; i < 20; i++ {
		ctx, cancel := context.WithCancel(background)
		must(t, s.Feed(Text("Hi")))
		time.AfterFunc(time.Duration(i%5)*time.Millisecond, cancel)
		var err error
		for err == nil {
			_, err = s.Next(ctx)
		}
		if errors.Is(err, io.EOF) { // it reached the end of the context before
			must(t, s.Reset())
		} else {
			want(t, err, ErrCancelled)
			want(t, err, context.Canceled)
		}
		// What was fed is gone, and no cancel is left over for the next answer.
		must(t, s.Feed(Text("Yes")))
		_, err = s.Next(background)
		must(t, err)
		must(t, s.Reset())
	}
	must(t, s.Feed(Text("Hi")))
	ctx, cancel := context.WithTimeout(background, time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	_, err := s.Next(ctx)
	want(t, err, ErrCancelled)
	want(t, err, context.DeadlineExceeded)
	must(t, s.Feed(Text("Hi")))
	s.Cancel()
	_, err = s.Next(background)
	want(t, err, ErrCancelled)
	if errors.Is(err, context.Canceled) {
		t.Error("a context is blamed that was not there")
	}
	settles(t, before)
}

func TestLateCancel(t *testing.T) {
	m := open(t, "llama")
	s := session(t, m, WithMaxTokens(1), WithIgnoreEOS())
	for i := 0; i < 50; i++ {
		ctx, cancel := context.WithCancel(background)
		must(t, s.Reset())
		must(t, s.Feed(Text("Hi")))
		for {
			e, err := s.Next(ctx)
			if e.Kind == EventText {
				go cancel() // meets the end of the answer, sometimes
			}
			if err != nil {
				break
			}
		}
		cancel()
		must(t, s.Feed(Text("Yes")))
		_, err := s.Next(background)
		must(t, err)
	}
}

func TestCountForkTruncate(t *testing.T) {
	m := open(t, "llava")
	s := session(t, m, WithMaxTokens(4), WithIgnoreEOS())
	photo := Parts{ImageFile(fixture("_inputs/photo.jpg")), Text("What?")}
	n, err := s.Count(photo...)
	must(t, err)
	must(t, s.Feed(photo...))
	_, first := answer(t, s)
	if n != uint64(first.PromptTokens) {
		t.Errorf("counted %d, took %d", n, first.PromptTokens)
	}
	entries, err := s.Stat("entries")
	must(t, err)
	if entries != 2 {
		t.Errorf("%v entries after a question and an answer", entries)
	}
	other, err := s.Fork()
	must(t, err)
	defer other.Close()
	for _, x := range []*Session{s, other} {
		must(t, x.Feed(Text("And?")))
	}
	_, a := answer(t, s)
	_, b := answer(t, other)
	if !equal(a.IDs, b.IDs) || len(a.IDs) == 0 {
		t.Errorf("a fork says %v, not %v", b.IDs, a.IDs)
	}
	must(t, s.Truncate(2))
	must(t, s.Feed(Text("And?")))
	if _, again := answer(t, s); !equal(again.IDs, a.IDs) {
		t.Errorf("after truncation it says %v, not %v", again.IDs, a.IDs)
	}
	want(t, s.Truncate(100), ErrArg)
	empty, err := s.Count()
	must(t, err)
	if empty == 0 {
		t.Error("a timeline with a picture takes no positions")
	}
}

type failingWriter struct{ after int }

var errFull = errors.New("the disk is full")

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.after--; w.after < 0 {
		return 0, errFull
	}
	return len(p), nil
}

type panickingWriter struct{}

func (panickingWriter) Write([]byte) (int, error) { panic("no") }

func TestSaveLoad(t *testing.T) {
	m := open(t, "llava")
	s := session(t, m, WithMaxTokens(4), WithIgnoreEOS())
	must(t, s.Feed(ImageFile(fixture("_inputs/photo.jpg")), Text("What?")))
	answer(t, s)
	var snapshot bytes.Buffer
	err := s.Save(&snapshot)
	must(t, err)
	path := filepath.Join(t.TempDir(), "snapshot")
	must(t, s.SaveFile(path))
	must(t, s.Feed(Text("And?")))
	_, expected := answer(t, s)

	again, err := m.LoadSession(snapshot.Bytes())
	must(t, err)
	defer again.Close()
	fromFile, err := m.LoadSessionFile(path)
	must(t, err)
	defer fromFile.Close()
	for _, x := range []*Session{again, fromFile} {
		must(t, x.Feed(Text("And?")))
		if _, got := answer(t, x); !equal(got.IDs, expected.IDs) {
			t.Errorf("loaded: %v, not %v", got.IDs, expected.IDs)
		}
	}

	err = s.Save(&failingWriter{})
	want(t, err, ErrCancelled)
	want(t, err, errFull)
	want(t, s.Save(nil), ErrArg)
	want(t, s.SaveFile(filepath.Join(t.TempDir(), "no", "such", "folder")), ErrIO)
	func() {
		defer func() {
			if recover() != "no" {
				t.Error("the panic of a writer is lost")
			}
		}()
		s.Save(panickingWriter{})
	}()
	for _, bad := range [][]byte{nil, []byte("no snapshot"), snapshot.Bytes()[:snapshot.Len()/2]} {
		_, err := m.LoadSession(bad)
		want(t, err, ErrFormat)
	}
	_, err = m.LoadSessionFile("no such file")
	want(t, err, os.ErrNotExist)
	_, err = open(t, "llama").LoadSession(snapshot.Bytes())
	want(t, err, ErrUnsupported)
}

func TestTensors(t *testing.T) {
	m := open(t, "llama")
	s := session(t, m, WithMaxTokens(1), WithSetting("watch", "*"))
	must(t, s.Feed(Text("Hi")))
	seen := 0
	for {
		e, err := s.Next(background)
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		if e.Kind != EventTensor {
			continue
		}
		seen++
		n := int64(1)
		for _, d := range e.Dims {
			n *= d
		}
		if e.Text == "" || len(e.Dims) == 0 || n != int64(len(e.Values)) {
			t.Errorf("tensor %q %v with %d values", e.Text, e.Dims, len(e.Values))
		}
	}
	if seen == 0 {
		t.Error("no tensor came")
	}
}
