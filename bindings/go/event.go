package libmm

// #include <libmm.h>
import "C"

import (
	"math"
	"time"
	"unsafe"
)

// EventKind says what an Event is. New kinds may come; skip those you do not know.
type EventKind uint32

const (
	EventText     EventKind = 1 // Text: of one or more tokens, never half a character
	EventSegment  EventKind = 2 // Text: spoken from Start to End; IDs: its tokens
	EventLanguage EventKind = 3 // Text: ISO code; Value: probability
	EventVector   EventKind = 4 // Values: a vector of length 1
	EventScores   EventKind = 5 // Values: one probability for each text, for picture Index
	EventTensor   EventKind = 6 // Text: stage; Values, Dims: the tensor
	EventEnd      EventKind = 7 // Text: reason: "stop", "length" or "done"; IDs: every token of the answer
)

var kindNames = [...]string{"", "text", "segment", "language", "vector", "scores", "tensor", "end"}

func (k EventKind) String() string {
	if int64(k) < int64(len(kindNames)) && k != 0 {
		return kindNames[k]
	}
	return "unknown"
}

// LogProb is a token and the natural logarithm of its probability.
type LogProb struct {
	ID      int32
	LogProb float32
}

// Event is a piece of an answer. What it holds is the caller's.
type Event struct {
	Kind         EventKind
	Index        int    // which vector, picture or segment, from 0
	ID           int32  // token id of a text event (the last one when several), else -1
	Text         string // UTF-8; bytes of the model that are no character are U+FFFD
	Values       []float32
	IDs          []int32
	Top          []LogProb // alternatives, most likely first
	Start, End   time.Duration
	Value        float64 // EventText: log-probability (WithLogProbs); EventLanguage: probability
	Dims         []int64
	PromptTokens int // EventEnd: positions the prompt took
}

func seconds(t C.double) time.Duration { return time.Duration(math.Round(float64(t) * 1e9)) }

// take copies an event and clears the original: pointers of the library's must not stay in memory of Go's.
func take(c *C.mm_event) Event {
	e := Event{
		Kind: EventKind(c.kind), Index: int(c.index), ID: int32(c.id), Start: seconds(c.t0), End: seconds(c.t1),
		Value: float64(c.value), PromptTokens: int(c.prompt_tokens),
	}
	if c.data != nil {
		e.Text = string(unsafe.Slice((*byte)(unsafe.Pointer(c.data)), int(c.len)))
	}
	if c.n_values > 0 {
		e.Values = append([]float32(nil), unsafe.Slice((*float32)(unsafe.Pointer(c.values)), int(c.n_values))...)
	}
	if c.n_ids > 0 {
		e.IDs = append([]int32(nil), unsafe.Slice((*int32)(unsafe.Pointer(c.ids)), int(c.n_ids))...)
	}
	for _, t := range unsafe.Slice((*C.mm_logprob)(unsafe.Pointer(c.top)), int(c.n_top)) {
		e.Top = append(e.Top, LogProb{int32(t.id), float32(t.logprob)})
	}
	for i := 0; i < int(c.n_dims) && i < len(c.dims); i++ {
		e.Dims = append(e.Dims, int64(c.dims[i]))
	}
	*c = C.mm_event{}
	return e
}
