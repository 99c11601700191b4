package libmm

// #include "shim.h"
import "C"

import (
	"context"
	"io"
	"runtime"
	"runtime/cgo"
)

// Session is one timeline on one model: what was fed, what was answered. One goroutine at a time may use it; Cancel and
// Close may come from any.
type Session struct {
	h      handle
	p      *C.mm_session
	model  *Model
	engine *Engine
	event  C.mm_event // where Next lets the library write; empty between calls
}

// NewSession makes an empty session.
func (m *Model) NewSession(opts ...Option) (*Session, error) {
	if err := m.enter(); err != nil {
		return nil, err
	}
	defer m.h.leave()
	c, err := newSessionConfig(opts)
	if err != nil {
		return nil, err
	}
	e := newError()
	var p *C.mm_session
	if st := C.mm_session_create(m.p, &c.o, &p, e); st < 0 {
		return nil, failure(st, e)
	}
	s := adopt(m, p)
	for _, o := range c.settings {
		if err := s.Set(o.key, o.value); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

// adopt wraps a session of the library's; the caller holds the model.
func adopt(m *Model, p *C.mm_session) *Session {
	m.h.keep()
	s := &Session{p: p, model: m, engine: m.engine}
	s.h.init(func() {
		C.mm_session_release(p)
		m.h.leave()
	})
	runtime.SetFinalizer(s, (*Session).finalize)
	return s
}

func (s *Session) finalize() { s.h.close() }

// Close gives the session back, and stops a call that is running. It never fails.
func (s *Session) Close() error {
	if s != nil {
		s.Cancel()
		s.h.close()
		runtime.KeepAlive(s)
	}
	return nil
}

// Cancel makes the running or next call of Next return ErrCancelled soon. Any goroutine may call it.
func (s *Session) Cancel() {
	if s == nil || s.h.enter("Session") != nil {
		return
	}
	C.mm_session_cancel(s.p)
	s.h.leave()
}

// Model is the model of the session.
func (s *Session) Model() *Model { return s.model }

func (s *Session) seize() error {
	if s == nil {
		return fail(StatusArg, "Session: nil")
	}
	return s.h.seize("Session")
}

func (s *Session) call(f func(e *C.mm_error) C.mm_status) error {
	if err := s.seize(); err != nil {
		return err
	}
	defer s.h.yield()
	e := newError()
	return failure(f(e), e)
}

// Set changes a rare option by key: "task", "stop", "tools", "variables", "language", "translate", "timestamps", "history",
// "single_pass", "watch", "decoder_prompt", "force_ids", "truncate", "lookup", "kv_type"; the header
// says what each takes.
func (s *Session) Set(key, value string) error {
	return withSetting(key, value, func(k, v *C.char) error {
		return s.call(func(e *C.mm_error) C.mm_status { return C.mm_session_set(s.p, k, v, e) })
	})
}

// Feed appends parts to the timeline. The heavy work happens in Next.
func (s *Session) Feed(parts ...Part) error {
	in, err := s.input(parts)
	if err != nil {
		return err
	}
	defer in.Close()
	return s.FeedInput(in)
}

// input makes an input for the session's engine, even when that was closed.
func (s *Session) input(parts []Part) (*Input, error) {
	if s == nil {
		return nil, fail(StatusArg, "Session: nil")
	}
	if err := s.h.enter("Session"); err != nil {
		return nil, err
	}
	defer s.h.leave()
	return newInput(s.engine, parts)
}

// FeedInput appends an input, which may be changed or closed afterwards.
func (s *Session) FeedInput(in *Input) error {
	if err := in.seize(); err != nil {
		return err
	}
	defer in.h.yield()
	return s.call(func(e *C.mm_error) C.mm_status { return C.mm_session_feed(s.p, in.p, e) })
}

// Count is the number of positions the timeline would take if the parts were fed, template and media included. Nothing is
// encoded or kept. Compare it with Stat("n_ctx").
func (s *Session) Count(parts ...Part) (uint64, error) {
	if len(parts) == 0 {
		return s.count(nil)
	}
	in, err := s.input(parts)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	return s.count(in.p)
}

func (s *Session) count(in *C.mm_input) (uint64, error) {
	var n C.uint64_t
	err := s.call(func(e *C.mm_error) C.mm_status { return C.mm_session_count(s.p, in, &n, e) })
	return uint64(n), err
}

// Next runs until the next event, and returns io.EOF when the answer is complete. An error, also by the context, gives the
// answer up: the session keeps what was fed before the last Feed and can be fed again.
func (s *Session) Next(ctx context.Context) (Event, error) { return s.next(ctx, nil) }

// next obeys two contexts, of which the second may be nil.
func (s *Session) next(ctx, also context.Context) (Event, error) {
	if err := s.seize(); err != nil {
		return Event{}, err
	}
	defer s.h.yield()
	e := newError()
	stop := s.watch(ctx, also)
	s.event.size = C.sizeof_mm_event
	st := C.mm_session_next(s.p, &s.event, e)
	cause := stop()
	event := take(&s.event)
	if st == C.MM_OK && event.Kind != EventEnd {
		return event, nil
	}
	if cause != nil && st >= 0 {
		// The cancel came too late to stop anything; this call takes it back.
		s.event.size = C.sizeof_mm_event
		C.mm_session_next(s.p, &s.event, e)
		s.event = C.mm_event{}
	}
	switch {
	case st == C.MM_OK:
		return event, nil
	case st == C.MM_END:
		return Event{}, io.EOF
	case st == C.MM_E_CANCELLED:
		return Event{}, because(failure(st, e), cause)
	}
	return Event{}, failure(st, e)
}

// watch cancels the session when a context is done. The function it returns ends the watch and gives the error of the
// context that was the reason.
func (s *Session) watch(ctx, also context.Context) func() error {
	var done [2]<-chan struct{}
	if ctx != nil {
		done[0] = ctx.Done()
	}
	if also != nil {
		done[1] = also.Done()
	}
	if done[0] == nil && done[1] == nil {
		return func() error { return nil }
	}
	over, reason := make(chan struct{}), make(chan error, 1)
	if err := firstError(ctx, also); err != nil {
		C.mm_session_cancel(s.p)
		reason <- err
		return func() error { return <-reason }
	}
	go func() {
		select {
		case <-done[0]:
			C.mm_session_cancel(s.p)
			reason <- ctx.Err()
		case <-done[1]:
			C.mm_session_cancel(s.p)
			reason <- also.Err()
		case <-over:
			reason <- nil
		}
	}()
	return func() error {
		close(over)
		return <-reason
	}
}

func firstError(contexts ...context.Context) error {
	for _, c := range contexts {
		if c != nil && c.Err() != nil {
			return c.Err()
		}
	}
	return nil
}

// Reset forgets the timeline, also an answer under way, and keeps the options.
func (s *Session) Reset() error {
	return s.call(func(e *C.mm_error) C.mm_status { return C.mm_session_reset(s.p, e) })
}

// Truncate keeps the first entries of the timeline: each fed message (raw session: each feed) and each answer is one.
// Stat("entries") counts them.
func (s *Session) Truncate(entries uint64) error {
	return s.call(func(e *C.mm_error) C.mm_status { return C.mm_session_truncate(s.p, C.uint64_t(entries), e) })
}

// Fork makes a second session with the same options, timeline and random state; from there both go their own ways.
func (s *Session) Fork() (*Session, error) {
	if err := s.seize(); err != nil {
		return nil, err
	}
	defer s.h.yield()
	e := newError()
	var p *C.mm_session
	if st := C.mm_session_fork(s.p, &p, e); st < 0 {
		return nil, failure(st, e)
	}
	return adopt(s.model, p), nil
}

// Save writes options, timeline, media and state, for a later LoadSession on the same model.
func (s *Session) Save(w io.Writer) error {
	if w == nil {
		return fail(StatusArg, "Session.Save: the writer is nil")
	}
	call := writeCall{w: w}
	writer := cgo.NewHandle(&call)
	defer writer.Delete()
	err := s.call(func(e *C.mm_error) C.mm_status { return C.libmm_go_session_save(s.p, C.uintptr_t(writer), e) })
	return call.settle(err)
}

// SaveFile does the same into a file, which is replaced as a whole or not at all.
func (s *Session) SaveFile(path string) error {
	p, err := cString("path", path)
	if err != nil {
		return err
	}
	defer freeString(p)
	return s.call(func(e *C.mm_error) C.mm_status { return C.mm_session_save_file(s.p, p, e) })
}

// LoadSession makes a session from what Save wrote.
func (m *Model) LoadSession(snapshot []byte) (*Session, error) {
	return m.loadSession(func(p **C.mm_session, e *C.mm_error) C.mm_status {
		return C.mm_session_load(m.p, bytesPtr(snapshot), C.size_t(len(snapshot)), p, e)
	})
}

// LoadSessionFile makes a session from what SaveFile wrote.
func (m *Model) LoadSessionFile(path string) (*Session, error) {
	name, err := cString("path", path)
	if err != nil {
		return nil, err
	}
	defer freeString(name)
	return m.loadSession(func(p **C.mm_session, e *C.mm_error) C.mm_status {
		return C.mm_session_load_file(m.p, name, p, e)
	})
}

func (m *Model) loadSession(load func(p **C.mm_session, e *C.mm_error) C.mm_status) (*Session, error) {
	if err := m.enter(); err != nil {
		return nil, err
	}
	defer m.h.leave()
	e := newError()
	var p *C.mm_session
	if st := load(&p, e); st < 0 {
		return nil, failure(st, e)
	}
	return adopt(m, p), nil
}

// Stat is a number, of the last answer: "encode_ms", "prefill_ms", "decode_ms", "prefill_tokens", "decode_tokens",
// "media_cache_hits", "draft_tokens", "draft_taken"; of the session: "n_past" (positions held), "n_ctx", "entries", "arena_bytes",
// "kv_bytes", "media_cache_bytes" (of the model), "peak_bytes" (of the engine).
func (s *Session) Stat(key string) (float64, error) {
	k, err := cString("key", key)
	if err != nil {
		return 0, err
	}
	defer freeString(k)
	var v C.double
	err = s.call(func(e *C.mm_error) C.mm_status { return C.mm_session_stat(s.p, k, &v, e) })
	return float64(v), err
}
