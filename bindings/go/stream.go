package libmm

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"time"
)

// Stream is an answer that is being given, with a session of its own. One goroutine at a time may use it.
//
//	for stream.Next(ctx) {
//		use(stream.Event())
//	}
//	return stream.Err()
type Stream struct {
	s      *Session
	ctx    context.Context // of the call that made the stream
	event  Event
	closed chan struct{}
	once   sync.Once

	mu  sync.Mutex
	err error
}

func newStream(ctx context.Context, m *Model, parts []Part, opts []Option) *Stream {
	st := &Stream{ctx: ctx, closed: make(chan struct{})}
	if err := firstError(ctx); err != nil {
		st.err = because(fail(StatusCancelled, "the context was done before the start: %v", err), err)
		return st
	}
	if st.s, st.err = m.NewSession(opts...); st.err != nil {
		return st
	}
	if st.err = st.s.Feed(parts...); st.err != nil {
		st.s.Close()
	}
	return st
}

// Chat answers parts in a session of its own and streams the answer. What goes wrong, also at the start, is told by Err.
// The context covers the whole answer. To go on talking, use the stream's Session.
func (m *Model) Chat(ctx context.Context, parts Parts, opts ...Option) *Stream {
	return newStream(ctx, m, parts, opts)
}

// Next runs until the next event; false at the end or after an error. The answer is given up when ctx or the context the
// stream was made with is done.
func (st *Stream) Next(ctx context.Context) bool {
	if st.Err() != nil || st.s == nil {
		return false
	}
	var err error
	if st.event, err = st.s.next(ctx, st.ctx); err == nil {
		return true
	}
	select {
	case <-st.closed:
		err = fail(StatusCancelled, "the stream was closed before the answer was complete")
	default:
	}
	if !errors.Is(err, io.EOF) {
		st.fail(err)
	}
	return false
}

func (st *Stream) fail(err error) {
	st.mu.Lock()
	if st.err == nil {
		st.err = err
	}
	st.mu.Unlock()
}

// Event is what the last Next found.
func (st *Stream) Event() Event { return st.event }

// Err says why the stream ended; nil when the answer is complete.
func (st *Stream) Err() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.err
}

// Session is the session of the stream, nil when it could not be made. After the answer it can be fed again; the stream's
// Next then gives the next answer.
func (st *Stream) Session() *Session { return st.s }

// Events gives the events as a channel, which is closed at the end, after an error (see Err), when ctx is done and when the
// stream is closed. Read it to its end, or end ctx, or close the stream: else a goroutine waits for the reader.
func (st *Stream) Events(ctx context.Context) <-chan Event {
	events := make(chan Event)
	go func() {
		defer close(events)
		for st.Next(ctx) {
			select {
			case events <- st.Event():
			case <-ctx.Done():
				st.fail(because(fail(StatusCancelled, "the context is done: %v", ctx.Err()), ctx.Err()))
				return
			case <-st.closed:
				return
			}
		}
	}()
	return events
}

// Close ends the answer and gives the session back. It never fails.
func (st *Stream) Close() error {
	if st != nil {
		st.once.Do(func() { close(st.closed) })
		st.s.Close()
	}
	return nil
}

// each plays the stream to its end.
func (st *Stream) each(use func(*Event)) error {
	defer st.Close()
	for st.Next(context.Background()) {
		use(&st.event)
	}
	return st.Err()
}

// Answer is a whole answer.
type Answer struct {
	Text         string
	IDs          []int32
	Reason       string // "stop", "length" or "done"
	PromptTokens int    // positions the prompt took
	LogProbs     []float64
}

// Generate is Chat that waits for the whole answer. LogProbs are there with WithLogProbs, one for each text event.
func (m *Model) Generate(ctx context.Context, parts Parts, opts ...Option) (Answer, error) {
	var a Answer
	var text strings.Builder
	c, err := newSessionConfig(opts)
	if err != nil {
		return a, err
	}
	wanted := c.o.flags&sessionLogProbs != 0
	err = newStream(ctx, m, parts, opts).each(func(e *Event) {
		switch e.Kind {
		case EventText:
			text.WriteString(e.Text)
			if wanted {
				a.LogProbs = append(a.LogProbs, e.Value)
			}
		case EventEnd:
			a.IDs, a.Reason, a.PromptTokens = e.IDs, e.Text, e.PromptTokens
		}
	})
	a.Text = text.String()
	return a, err
}

func withTask(task string, opts []Option) []Option { return append([]Option{WithTask(task)}, opts...) }

// EmbedAll gives a vector of length 1 for each part, in order.
func (m *Model) EmbedAll(ctx context.Context, parts Parts, opts ...Option) ([][]float32, error) {
	var all [][]float32
	err := newStream(ctx, m, parts, withTask("embed", opts)).each(func(e *Event) {
		if e.Kind == EventVector {
			all = append(all, e.Values)
		}
	})
	return all, err
}

// Embed gives the vector of one text, picture or sound. The dot product of two of them is their cosine.
func (m *Model) Embed(ctx context.Context, part Part, opts ...Option) ([]float32, error) {
	all, err := m.EmbedAll(ctx, Parts{part}, opts...)
	if err != nil {
		return nil, err
	}
	if len(all) != 1 {
		return nil, fail(StatusArg, "Embed: the part makes %d vectors; EmbedAll takes several", len(all))
	}
	return all[0], nil
}

// Score gives the probability of each text for a picture.
func (m *Model) Score(ctx context.Context, picture Part, texts []string, opts ...Option) ([]float32, error) {
	parts := Parts{picture}
	for _, t := range texts {
		parts = append(parts, Text(t))
	}
	var scores []float32
	err := newStream(ctx, m, parts, withTask("score", opts)).each(func(e *Event) {
		if e.Kind == EventScores {
			scores = e.Values
		}
	})
	return scores, err
}

// Segment is something said.
type Segment struct {
	Start, End time.Duration
	Text       string
	IDs        []int32
}

// Segments is a transcription that is being made, segment by segment.
type Segments struct {
	st          *Stream
	segment     Segment
	language    string
	probability float64
}

// Transcribe writes down what is said. What goes wrong, also at the start, is told by Err.
func (m *Model) Transcribe(ctx context.Context, sound Part, opts ...Option) *Segments {
	return &Segments{st: newStream(ctx, m, Parts{sound}, withTask("transcribe", opts))}
}

// Next runs until the next segment; false at the end or after an error.
func (s *Segments) Next(ctx context.Context) bool {
	for s.st.Next(ctx) {
		e := &s.st.event
		switch e.Kind {
		case EventLanguage:
			s.language, s.probability = e.Text, e.Value
		case EventSegment:
			s.segment = Segment{e.Start, e.End, e.Text, e.IDs}
			return true
		}
	}
	return false
}

// Segment is what the last Next found.
func (s *Segments) Segment() Segment { return s.segment }

// Language is the ISO code of the language and how sure it is; "" until it is known.
func (s *Segments) Language() (code string, probability float64) { return s.language, s.probability }

// Err says why the segments ended; nil when all were given.
func (s *Segments) Err() error { return s.st.Err() }

// All waits for the rest, and closes.
func (s *Segments) All(ctx context.Context) ([]Segment, error) {
	defer s.Close()
	var all []Segment
	for s.Next(ctx) {
		all = append(all, s.segment)
	}
	return all, s.Err()
}

// Close ends the transcription. It never fails.
func (s *Segments) Close() error { return s.st.Close() }
