package libmm

import (
	"context"
	"errors"
	"math"
	"runtime"
	"testing"
)

func TestStream(t *testing.T) {
	m := open(t, "llava")
	parts := Parts{ImageFile(fixture("_inputs/photo.jpg")), Text("What?")}
	opts := []Option{WithMaxTokens(6), WithIgnoreEOS()}
	whole, err := m.Generate(background, parts, opts...)
	must(t, err)

	stream := m.Chat(background, parts, opts...)
	defer stream.Close()
	var text string
	for stream.Next(background) {
		if stream.Event().Kind == EventText {
			text += stream.Event().Text
		}
	}
	must(t, stream.Err())
	if text != whole.Text {
		t.Errorf("streamed %q, whole %q", text, whole.Text)
	}
	if stream.Next(background) {
		t.Error("there is something after the end")
	}
	must(t, stream.Session().Feed(Text("And?")))
	more := 0
	for stream.Next(background) {
		more++
	}
	must(t, stream.Err())
	if more == 0 {
		t.Error("the conversation does not go on")
	}

	text = ""
	ch := m.Chat(background, parts, opts...)
	for e := range ch.Events(background) {
		if e.Kind == EventText {
			text += e.Text
		}
	}
	must(t, ch.Err())
	must(t, ch.Close())
	if text != whole.Text {
		t.Errorf("by channel %q, whole %q", text, whole.Text)
	}
}

func TestStreamEnds(t *testing.T) {
	m := open(t, "llama")
	before := runtime.NumGoroutine()
	opts := []Option{WithIgnoreEOS()}

	// The context of the channel, while nobody reads.
	ctx, cancel := context.WithCancel(background)
	st := m.Chat(background, Parts{Text("Hi")}, opts...)
	<-st.Events(ctx)
	cancel()
	settles(t, before)
	want(t, st.Err(), ErrCancelled)
	want(t, st.Err(), context.Canceled)
	st.Close()

	// Close, while nobody reads.
	st = m.Chat(background, Parts{Text("Hi")}, opts...)
	events := st.Events(background)
	<-events
	st.Close()
	for range events {
	}
	settles(t, before)

	// The context the stream was made with.
	ctx, cancel = context.WithCancel(background)
	st = m.Chat(ctx, Parts{Text("Hi")}, opts...)
	if !st.Next(background) {
		t.Fatal(st.Err())
	}
	cancel()
	for st.Next(background) {
	}
	want(t, st.Err(), context.Canceled)
	st.Close()

	// A context that is done before the start.
	st = m.Chat(ctx, Parts{Text("Hi")}, opts...)
	if st.Next(background) || st.Session() != nil {
		t.Error("a dead context starts an answer")
	}
	want(t, st.Err(), ErrCancelled)
	want(t, st.Err(), context.Canceled)
	st.Close()
	_, err := m.Generate(ctx, Parts{Text("Hi")})
	want(t, err, context.Canceled)

	// Errors of the start.
	st = m.Chat(background, Parts{ImageFile("no such file")}, opts...)
	if st.Next(background) {
		t.Error("a missing picture is answered")
	}
	want(t, st.Err(), ErrIO)
	for range st.Events(background) {
		t.Error("an event of a stream that failed")
	}
	st.Close()
	settles(t, before)
}

func TestEmbed(t *testing.T) {
	m := open(t, "clip")
	all, err := m.EmbedAll(background, Parts{Text("a cat"), Text("a dog"), ImageFile(fixture("_inputs/photo.jpg"))})
	must(t, err)
	if len(all) != 3 {
		t.Fatalf("%d vectors", len(all))
	}
	for _, v := range all {
		if math.Abs(dot(v, v)-1) > 1e-5 {
			t.Errorf("a vector of length %f", math.Sqrt(dot(v, v)))
		}
	}
	cat, err := m.Embed(background, Text("a cat"))
	must(t, err)
	found := false
	for _, v := range all {
		found = found || dot(cat, v) > 0.99999
	}
	if !found {
		t.Error("alone a text has another vector")
	}
	_, err = open(t, "llama").Embed(background, Text("a cat"))
	if !errors.Is(err, ErrArg) && !errors.Is(err, ErrUnsupported) {
		t.Errorf("a model without vectors: %v", err)
	}
}

func TestScore(t *testing.T) {
	m := open(t, "clip")
	p, err := m.Score(background, ImageFile(fixture("_inputs/photo.jpg")), []string{"a cat", "a dog", "a bird"})
	must(t, err)
	if len(p) != 3 || math.Abs(float64(p[0]+p[1]+p[2])-1) > 1e-5 {
		t.Errorf("probabilities %v", p)
	}
}

func TestTranscribe(t *testing.T) {
	m := open(t, "whisper")
	s := m.Transcribe(background, AudioFile(fixture("_inputs/speech_16k.wav")))
	defer s.Close()
	n := 0
	for s.Next(background) {
		seg := s.Segment()
		if seg.End <= seg.Start || len(seg.IDs) == 0 {
			t.Errorf("segment %+v", seg)
		}
		n++
	}
	must(t, s.Err())
	if lang, p := s.Language(); n == 0 || lang != "en" || p <= 0 || p > 1 {
		t.Errorf("%d segments in %q (%f)", n, lang, p)
	}
	given := m.Transcribe(background, AudioFile(fixture("_inputs/speech_16k.wav")), WithLanguage("de"), WithTranslate())
	_, err := given.All(background)
	must(t, err)
	ctx, cancel := context.WithCancel(background)
	cancel()
	_, err = m.Transcribe(ctx, AudioFile(fixture("_inputs/speech_16k.wav"))).All(background)
	want(t, err, context.Canceled)
}
